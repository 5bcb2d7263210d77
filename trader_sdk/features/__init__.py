"""Features: the columns of an observation, once for history and for live, and who may build them."""

from trader_sdk.features.check import ProviderCheck, ProviderReport, check_provider
from trader_sdk.features.columns import ACCOUNT_COLUMNS, FEATURE_SETS, MARKET_COLUMNS, MEMORY, SIZING_COLUMNS, Column
from trader_sdk.features.many import SymbolProvider, UniverseProvider
from trader_sdk.features.market import market_features
from trader_sdk.features.observation import ObservationBuilder, stated_schema_sha256
from trader_sdk.features.own import Ohlcv53Provider, is_own_schema
from trader_sdk.features.provider import DEFAULT_PROVIDER, FeatureProvider, load_provider
from trader_sdk.features.schema import REQUIRED_HISTORY, WINDOW, FeatureSchema, build_schema, schema_from

__all__ = [
    "ACCOUNT_COLUMNS",
    "DEFAULT_PROVIDER",
    "FEATURE_SETS",
    "MARKET_COLUMNS",
    "MEMORY",
    "REQUIRED_HISTORY",
    "SIZING_COLUMNS",
    "WINDOW",
    "Column",
    "FeatureProvider",
    "FeatureSchema",
    "ObservationBuilder",
    "Ohlcv53Provider",
    "ProviderCheck",
    "ProviderReport",
    "SymbolProvider",
    "UniverseProvider",
    "build_schema",
    "check_provider",
    "is_own_schema",
    "load_provider",
    "market_features",
    "schema_from",
    "stated_schema_sha256",
]
