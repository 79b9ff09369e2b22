"""The layers of third-party wheels: built once, completely or not at all, and for the right processor."""

import struct
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from infra import assets

AARCH64 = 183
"""e_machine in an ELF header."""


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build only the smallest layer, in the test's own directory."""
    monkeypatch.setattr(assets, "LAYERS", tmp_path)
    monkeypatch.setattr(assets, "GROUPS", {"migrations": "migrations"})


def test_only_missing_layers_are_built() -> None:
    assert assets.build(assets.LAMBDA) == ["migrations"]
    assert assets.build(assets.LAMBDA) == []
    assert (assets.layer_path("migrations", assets.LAMBDA) / "python" / "alembic").is_dir()


def build_in(layers: Path) -> list[str]:
    """Build in another process."""
    assets.LAYERS, assets.GROUPS = layers, {"migrations": "migrations"}
    return assets.build(assets.HOST)


def test_concurrent_builds_build_once(tmp_path: Path) -> None:
    """For example two `make up` in one checkout."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        built = [*processes.map(build_in, [tmp_path, tmp_path])]
    assert sorted(built) == [[], ["migrations"]]
    assert (assets.layer_path("migrations", assets.HOST) / "python" / "alembic").is_dir()


def test_a_changed_lock_rebuilds_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    assets.build(assets.LAMBDA)
    before = assets.fingerprint(assets.LAMBDA)
    monkeypatch.setattr(assets, "GROUPS", {"migrations": "imaging"})
    assert assets.build(assets.LAMBDA) == ["migrations"]
    assert assets.fingerprint(assets.LAMBDA) != before


def test_native_code_is_built_for_lambda() -> None:
    assets.build(assets.LAMBDA)
    libraries = [*assets.layer_path("migrations", assets.LAMBDA).rglob("*.so")]
    assert libraries
    for library in libraries:
        (machine,) = struct.unpack_from("<H", library.read_bytes(), 18)
        assert machine == AARCH64, library.name


@pytest.mark.long
def test_the_layers_of_the_verdicts_fit_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code and layers of one function may have 250 MB unzipped. The decoder of HEIC is among them, for arm64."""
    monkeypatch.setattr(assets, "GROUPS", {"vendor": None, "imaging": "imaging"})
    assets.build(assets.LAMBDA)
    layers = [assets.layer_path(name, assets.LAMBDA) for name in ("vendor", "imaging")]
    size = sum(file.stat().st_size for layer in layers for file in layer.rglob("*") if file.is_file())
    assert size < 200_000_000
    (decoder,) = layers[1].rglob("libde265*")
    assert struct.unpack_from("<H", decoder.read_bytes(), 18) == (AARCH64,)


def test_bytecode_is_shipped_with_the_source() -> None:
    """It is unchecked (flags 0b01 in the header, PEP 552), because zip changes modification times."""
    assets.build(assets.HOST)
    compiled = [*assets.layer_path("migrations", assets.HOST).rglob("alembic/__pycache__/*.pyc")]
    assert compiled
    assert {struct.unpack_from("<I", path.read_bytes(), 4) for path in compiled} == {(1,)}


def test_a_failed_build_leaves_no_partial_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(assets, "_compile", fail)
        with pytest.raises(KeyboardInterrupt):
            assets.build(assets.HOST)
    with pytest.raises(FileNotFoundError, match=f"python -m infra.assets {assets.HOST}"):
        assets.layer_path("migrations", assets.HOST)
    assert assets.build(assets.HOST) == ["migrations"]


def test_an_error_of_uv_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "GROUPS", {"migrations": "no-such-group"})
    with pytest.raises(assets.LayerError, match="no-such-group"):
        assets.build(assets.HOST)
