"""trader-sdk: stands between a model that was trained and the money it will trade."""
