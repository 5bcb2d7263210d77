"""``trader compat keygen``, ``sign`` and ``verify``: detached signatures, made and checked offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import ArchiveError, StorageError, UsageError

if TYPE_CHECKING:
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.signing import PrivateKey, PublicKey, Signature, Signed

Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]


def keygen(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pair, not within an archive.")],
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Make a key pair: trader-signing.key for who signs (mode 0600), trader-signing.pub for who trades."""
    from trader_sdk.signing import generate_key, write_key_pair

    pair = write_key_pair(out, generate_key())
    report = Output(json_lines=bool(json), json_file=json_file)
    report.event(
        "key_made",
        f"{pair.private} signs: keep it secret\n{pair.public} verifies: give it to who trades\nkey {pair.key_id}",
        private=str(pair.private),
        public=str(pair.public),
        key_id=pair.key_id,
    )
    report.close()


def sign(
    path: Annotated[Path, typer.Argument(help="A verdict, override or audit head as JSON, or an archive.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key (default: the PEM in TRADER_SIGNING_KEY).")
    ] = None,
    verdict: Annotated[
        list[str] | None, typer.Option("--verdict", help="In an archive: version id or verdict id to sign; repeatable.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Signature file (default: FILE.sig); for an archive's head, the head itself."),
    ] = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Sign one document, or in an archive the named verdicts (their overrides too), or without names its audit head."""
    report = Output(json_lines=bool(json), json_file=json_file)
    private = _private_key(key)
    if not _is_archive(path):
        _sign_file(report, path, private, out, verdict)
    elif verdict:
        _sign_verdicts(report, path, private, verdict)
    else:
        _sign_head(report, path, private, out)
    report.close()


def verify(
    path: Annotated[Path, typer.Argument(help="A verdict, override or audit head as JSON.")],
    signature: Annotated[Path | None, typer.Option("--signature", help="Its signature (default: FILE.sig).")] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", help="Accepted keys (default: those in TRADER_PUBLIC_KEYS); repeatable."),
    ] = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Check that an accepted key signed a document; exit 3 (E104) if not."""
    from trader_sdk.signing import read_document, read_signature
    from trader_sdk.signing import verify as verify_signature

    accepted = _public_keys(public_key or [])
    signed = read_document(path)
    by = verify_signature(signed, read_signature(signature or _beside(path)), accepted, where=str(path))
    report = Output(json_lines=bool(json), json_file=json_file)
    report.event(
        "signature_verified",
        f"{path}: {signed.kind} signed by {by.key_id}",
        path=str(path),
        kind=signed.kind.value,
        document_sha256=signed.sha256,
        key_id=by.key_id,
    )
    report.close()


def _private_key(path: Path | None) -> PrivateKey:
    from trader_sdk.signing import PRIVATE_KEY_VARIABLE, private_key_from_env, read_private_key

    key = read_private_key(path) if path is not None else private_key_from_env(os.environ)
    if key is None:
        raise UsageError("USAGE", "no key to sign with", where=f"--key or {PRIVATE_KEY_VARIABLE}")
    return key


def _public_keys(paths: list[Path]) -> list[PublicKey]:
    from trader_sdk.signing import PUBLIC_KEYS_VARIABLE, public_keys_from_env, read_public_keys

    keys = [key for path in paths for key in read_public_keys(path)] or list(public_keys_from_env(os.environ))
    if not keys:
        raise UsageError("USAGE", "no key to verify with", where=f"--public-key or {PUBLIC_KEYS_VARIABLE}")
    return keys


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def _is_archive(path: Path) -> bool:
    from trader_sdk.archive.named import named_place

    return path.is_dir() or (not path.exists() and named_place(str(path)) is not None)


def _sign_file(report: Output, path: Path, key: PrivateKey, out: Path | None, verdict: list[str] | None) -> None:
    from trader_sdk.signing import read_document, write_signature
    from trader_sdk.signing import sign as make_signature

    if verdict:
        raise UsageError("USAGE", "--verdict names a verdict of an archive, and this is no folder", where=str(path))
    signed = read_document(path)
    signature, target = make_signature(signed, key), out or _beside(path)
    write_signature(target, signature)
    _say(report, signed, signature, str(path), target)


def _sign_verdicts(report: Output, archive: Path, key: PrivateKey, names: list[str]) -> None:
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.archive.signatures import add_signature
    from trader_sdk.signing import sign as make_signature

    reader = ArchiveReader(archive)
    found = [(name, signed) for name in names for signed in _of_archive(reader, name)]
    for name, signed in found:
        signature = make_signature(signed, key)
        _say(report, signed, signature, name, add_signature(reader.place, signature))


def _of_archive(reader: ArchiveReader, name: str) -> list[Signed]:
    from trader_sdk.signing import canonical_bytes

    refs = [ref for ref in reader.state.verdicts.values() if name in (ref.id, ref.version_id)]
    if not refs:
        raise ArchiveError("E601", "the archive has no such verdict", where=reader.place.where, found=name)
    documents = []
    for ref in refs:
        documents.append(canonical_bytes(reader.judged(ref).verdict))
        override = reader.state.overrides.get(ref.id)
        if override is not None:
            documents.append(canonical_bytes(override))
    return documents


def _sign_head(report: Output, archive: Path, key: PrivateKey, out: Path | None) -> None:
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.signing import AuditHead, canonical_bytes, write_signature
    from trader_sdk.signing import sign as make_signature

    reader = ArchiveReader(archive)
    if not reader.chain.records:
        raise ArchiveError("E608", "the audit chain is empty", where=reader.place.where)
    if out is None or out.resolve().is_relative_to(reader.root.resolve()):
        remedy = "Name a file outside the archive: --out heads/2026-11-21.json."
        raise UsageError("USAGE", "a signed head is kept elsewhere", where="--out", found=out, remedy=remedy)
    last = reader.chain.records[-1]
    signed = canonical_bytes(AuditHead(seq=last.seq, sha256=last.sha256, at=last.at))
    _write_head(out, signed)
    signature = make_signature(signed, key)
    write_signature(_beside(out), signature)
    _say(report, signed, signature, str(archive), _beside(out))


def _write_head(out: Path, signed: Signed) -> None:
    from trader_sdk.signing.files import write_once

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_once(out, signed.message + b"\n", 0o644)
    except FileExistsError as error:
        raise UsageError("USAGE", "this file exists already and is not overwritten", where=str(out)) from error
    except OSError as error:
        raise StorageError("STORAGE", "the head cannot be written", where=str(out), found=error.strerror) from error


def _say(report: Output, signed: Signed, signature: Signature, subject: str, target: Path) -> None:
    report.event(
        "document_signed",
        f"{target}: {_facts(signed)}, signed by {signature.key_id}",
        subject=subject,
        kind=signed.kind.value,
        document_sha256=signed.sha256,
        key_id=signature.key_id,
        signature=str(target),
    )


def _facts(signed: Signed) -> str:
    from trader_sdk.ci.checks import printable
    from trader_sdk.contract.audit import Override
    from trader_sdk.contract.verdicts import Verdict

    document = signed.document
    if isinstance(document, Verdict):
        slot = f"{document.symbol}/{document.timeframe}"
        return printable(f"verdict {document.version_id} on {slot}: {document.class_}, tier {document.tier}")
    if isinstance(document, Override):
        return printable(f"override of {document.verdict} by {document.who} until {document.until.isoformat()}")
    return f"audit head {document.seq} {document.sha256}"
