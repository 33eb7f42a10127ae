"""Every wrong variable is refused by its name, and no secret is ever shown."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway import settings as settings_module
from gateway import variables
from gateway.dispatch import Role
from gateway.doors import NAMES
from gateway.errors import ConfigurationError
from gateway.media.location import location_of
from gateway.settings import Settings, load
from gateway.store.client import connection_pool
from tests.conftest import KEYRING

SECRET = base64.b64encode(b"S" * 32).decode()
NEEDED = {"GATEWAY_SECRET_KEYS": f"k1:{SECRET}", "GATEWAY_UPSTREAM_KEY": "upstream-key-7"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what is needed is set."""
    for name in list(os.environ):
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_with_the_two_secrets_set_all_else_has_a_default() -> None:
    settings = load()
    assert settings.upstream_url == ""
    assert settings.delivery_networks == []
    assert settings.durability == "require"
    assert not settings.off_peak
    assert settings.keyring().active_kid == "k1"


@pytest.mark.parametrize("name", list(NEEDED))
def test_a_secret_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(
        ConfigurationError, match=f"^{name}: is not set; set it, or set {name}_FILE to the path"
    ):
        load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEDIA_URL", "/srv/media"),
        ("MEDIA_URL", "s3://key:secret@media/prefix"),
        ("UPSTREAM_PROXY", "https://proxy.test:3128"),
        ("UPSTREAM_PROXY", "proxy.test:3128"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_TIMEOUT_SECONDS", "0"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PUBLIC_URL", "gateway.example.com"),
        ("SECRET_KEYS", ""),
        ("SECRET_KEYS", "k1:short"),
        ("SECRET_KEYS", f"K1:{SECRET}"),
        ("DURABILITY", "maybe"),
        ("UPSTREAM_URL", "ftp://upstream.example.com"),
        ("UPSTREAM_KEY", ""),
        ("UPSTREAM_SLOTS", "0"),
        ("UPSTREAM_SLOTS", "2.5"),
        ("UPSTREAM_TENANT_SLOTS", "-1"),
        ("UPSTREAM_TIMEOUT_SECONDS", "soon"),
        ("OFF_PEAK", "perhaps"),
        ("POLL_FIRST_SECONDS", "0"),
        ("POLL_MIN_SECONDS", "nan"),
        ("POLL_MAX_SECONDS", "inf"),
        ("UNKNOWN_GRACE_SECONDS", "-5"),
        ("JOB_DEADLINE_SECONDS", "1h"),
        ("BODY_MAX_BYTES", "10"),
        ("TENANT_QUEUE_MAX", "0"),
        ("PROMPT_MAX_CHARACTERS", "5001"),
        ("PAYLOAD_MAX_CHARACTERS", "1048577"),
        ("DELIVERY_NETWORKS", "10.0.0.0/33"),
        ("DELIVERY_NETWORKS", "10.0.0.1/8"),
        ("DELIVERY_NETWORKS", "example.com"),
        ("DELIVERY_SLOTS", "0"),
        ("DELIVERY_SCHEDULE_SECONDS", "5,soon"),
        ("DELIVERY_SCHEDULE_SECONDS", "5,-1"),
        ("DELIVERY_OVERLOAD_SECONDS", "-1"),
        ("DOORS", "jobs,vtrixx"),
        ("OPENAI_MODELS", "sora-2"),
        ("OPENAI_MODELS", "sora-2=viduq3"),
        ("DOORS", ""),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "inf"),
        ("LOG_LEVEL", "chatty"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable_s_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(ConfigurationError) as refusal:
        load()
    lines = str(refusal.value).splitlines()
    assert [line.split(":", 1)[0] for line in lines] == [f"GATEWAY_{name}"]
    assert not lines[0].endswith(": ")


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "0")
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "chatty")
    monkeypatch.delenv("GATEWAY_UPSTREAM_KEY")
    with pytest.raises(ConfigurationError) as refusal:
        load()
    named = {line.split(":", 1)[0] for line in str(refusal.value).splitlines()}
    assert named == {"GATEWAY_PORT", "GATEWAY_LOG_LEVEL", "GATEWAY_UPSTREAM_KEY"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("SECRET_KEYS", SECRET),
            ("SECRET_KEYS", f"k1:{SECRET}!"),
            ("SECRET_KEYS", f"k1:{SECRET},k1:{SECRET}"),
        ),
        ("UPSTREAM_PROXY", f"https://robot:{SECRET}@proxy.test"),
    ],
)
def test_no_refusal_shows_a_secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(ConfigurationError) as refusal:
        load()
    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert SECRET not in repr(refusal.value.__context__ if not refusal.value.__suppress_context__ else None)


def test_settings_never_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_UPSTREAM_PROXY", "http://robot:hunter2@proxy.test:3128")
    settings = load()
    for text in (repr(settings), str(settings), str(settings.model_dump()), repr(settings.proxy())):
        assert SECRET not in text
        assert "hunter2" not in text
        assert "upstream-key-7" not in text


def test_settings_never_show_the_password_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://:hunter2@redis.example.com:6379/0")
    settings = load()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_a_redis_url_that_cannot_be_read_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_REDIS_URL") as refusal:
        connection_pool("redis://:hun/ter2@redis.example.com", timeout_seconds=1, retries=0, connections=1)
    assert "hun" not in str(refusal.value)


def test_networks_and_schedules_are_lists_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DELIVERY_NETWORKS", "10.0.0.0/8, fd00::/8,")
    monkeypatch.setenv("GATEWAY_DELIVERY_SCHEDULE_SECONDS", "1, 2.5,60")
    settings = load()
    assert settings.delivery_networks == ["10.0.0.0/8", "fd00::/8"]
    assert settings.delivery_schedule_seconds == [1.0, 2.5, 60.0]


def test_doors_are_a_list_and_all_are_open_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().doors == list(NAMES)
    monkeypatch.setenv("GATEWAY_DOORS", "vtrix")
    assert load().doors == ["vtrix"]


def test_models_have_more_names_if_an_operator_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().openai_models == {}
    monkeypatch.setenv("GATEWAY_OPENAI_MODELS", "sora-2=viduq2-pro, sora-2-pro = viduq2_pro_reference")
    assert load().openai_models == dict.fromkeys(("sora-2", "sora-2-pro"), "viduq2_pro_reference")


def test_a_base_url_loses_its_last_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PUBLIC_URL", "https://gateway.example.com/base/")
    assert load().public_url == "https://gateway.example.com/base"


def test_limits_of_a_request_follow_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_OFF_PEAK", "true")
    monkeypatch.setenv("GATEWAY_PROMPT_MAX_CHARACTERS", "100")
    limits = load().limits()
    assert (limits.off_peak, limits.prompt_max_characters) == (True, 100)


def test_an_attempt_s_lease_outlasts_the_attempt() -> None:
    settings = Settings(
        secret_keys=SecretStr(KEYRING),
        upstream_key=SecretStr("x"),
        delivery_timeout_seconds=40,
        lease_seconds=10,
        upstream_slots=7,
        upstream_tenant_slots=3,
    )
    roles = settings.roles()
    assert roles[Role.DELIVER].lease_ms == 50_000
    assert (roles[Role.SUBMIT].slots, roles[Role.SUBMIT].lane_slots, roles[Role.SUBMIT].lease_ms) == (
        7,
        3,
        10_000,
    )


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in settings_module.Settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("UPSTREM_SLOTS", "UPSTREAM_SLOTS"),
        ("UPSTREAM_SLTOS", "UPSTREAM_SLOTS"),
        ("UPSTREAM_TIMEOUT", "UPSTREAM_TIMEOUT_SECONDS"),
        ("AUDIT_SECONDS", "AUDIT_DAYS"),
        ("PROT", "PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("SECRET_KEY", "SECRET_KEYS"),
        ("SECRET_KEY_FILE", "SECRET_KEYS_FILE"),
        ("delivery_network", "DELIVERY_NETWORKS"),
    ],
)
def test_a_misspelt_name_stops_the_process_and_the_right_one_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    variable = f"GATEWAY_{name}" if name.isupper() else f"gateway_{name}"
    monkeypatch.setenv(variable, "value-canary")
    with pytest.raises(ConfigurationError) as refusal:
        load()
    told = f"{variable.upper()}: is not a setting; did you mean GATEWAY_{meant}?"
    assert str(refusal.value) == told


def test_only_a_secret_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT_FILE", "/etc/port")
    with pytest.raises(ConfigurationError, match="GATEWAY_PORT_FILE: only a secret can be in a file"):
        load()


#: What Kubernetes and Docker set for a service that is named gateway, or gateway-redis.
INJECTED = {
    "GATEWAY_SERVICE_HOST": "10.0.0.1",
    "GATEWAY_SERVICE_PORT": "8080",
    "GATEWAY_SERVICE_PORT_HTTP": "8080",
    "GATEWAY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    "GATEWAY_PORT_8080_TCP_PORT": "8080",
    "GATEWAY_PORT_8080_TCP_PROTO": "tcp",
    "GATEWAY_REDIS_PORT": "tcp://10.0.0.2:6379",
    "GATEWAY_REDIS_SERVICE_HOST": "10.0.0.2",
}


def test_names_of_a_cluster_or_of_another_release_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    others = INJECTED | {"GATEWAY_SHARDING": "value-canary"}
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    load()
    with capture_logs() as lines:
        settings_module.warn_of_unknown_variables()
    assert lines == [{"event": "unknown_variables", "log_level": "warning", "variables": sorted(others)}]


def test_without_unknown_names_there_is_no_warning() -> None:
    with capture_logs() as lines:
        settings_module.warn_of_unknown_variables()
    assert lines == []


def test_an_address_of_the_cluster_is_not_taken_for_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "tcp://10.0.0.1:8080")
    with pytest.raises(ConfigurationError, match=r"GATEWAY_PORT: .* set enableServiceLinks to false"):
        load()


def test_without_a_media_url_the_folder_is_that_of_the_older_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().media_location() == Path("blobs")
    monkeypatch.setenv("GATEWAY_BLOB_DIR", "/srv/blobs")
    assert load().media_location() == Path("/srv/blobs")
    monkeypatch.setenv("GATEWAY_MEDIA_URL", "file:///srv/blobs")
    assert load().media_location() == Path("/srv/blobs")


@pytest.mark.parametrize("url", ["file:///srv/media", "s3://media/prefix"])
def test_two_places_for_files_are_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("GATEWAY_MEDIA_URL", url)
    assert load().media_location() == location_of(url)
    monkeypatch.setenv("GATEWAY_BLOB_DIR", "/srv/blobs")
    with pytest.raises(ConfigurationError, match=r"^GATEWAY_MEDIA_URL: .*remove GATEWAY_BLOB_DIR$"):
        load()


def test_no_setting_is_taken_for_a_misspelling_of_another() -> None:
    """Otherwise a release without it would not start where one with it runs."""
    names = [name.upper() for name in Settings.model_fields]
    taken = {name: variables.meant(name, [other for other in names if other != name]) for name in names}
    assert [name for name, meant in taken.items() if meant] == []


SECRETS = {
    "SECRET_KEYS": KEYRING,
    "UPSTREAM_KEY": "key-canary",
    "UPSTREAM_ACCOUNTS": '[{"name": "second", "key": "key-canary-2"}]',
    "UPSTREAM_PROXY": "http://robot:key-canary@proxy.test:3128",
    "CALLBACK_SIGNATURE_KEY": "key-canary",
    "REDIS_URL": "rediss://:key-canary@redis.example.com/0",
}


def test_every_secret_can_be_in_a_file() -> None:
    assert {name.upper() for name in settings_module.SECRETS} == set(SECRETS)


@pytest.mark.parametrize("newline", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_its_file_without_the_newline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, newline: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(f"{SECRETS[name]}{newline}".encode())
    monkeypatch.delenv(f"GATEWAY_{name}", raising=False)
    monkeypatch.setenv(f"GATEWAY_{name}_FILE", str(path))
    found = getattr(load(), name.lower())
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == SECRETS[name]
    assert "key-canary" not in repr(load())


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_given_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text(SECRETS[name])
    monkeypatch.setenv(f"GATEWAY_{name}", SECRETS[name])
    monkeypatch.setenv(f"GATEWAY_{name}_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError) as refusal:
        load()
    assert str(refusal.value) == f"GATEWAY_{name} and GATEWAY_{name}_FILE are both set; set only one of them"


def test_a_secret_that_is_empty_counts_as_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file")
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY", "")
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY_FILE", str(tmp_path / "secret"))
    assert load().upstream_key.get_secret_value() == "from-the-file"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read {path}: No such file or directory"),
        (b"", "{path} is empty"),
        (b"\n", "{path} is empty"),
        (b"key-canary\xff", "{path} is not text in UTF-8"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.delenv("GATEWAY_UPSTREAM_KEY")
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY_FILE", str(path))
    with pytest.raises(ConfigurationError) as refusal:
        load()
    assert str(refusal.value) == f"GATEWAY_UPSTREAM_KEY_FILE: {told.format(path=path)}"


def test_a_wrong_secret_of_a_file_is_named_with_the_variable_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.delenv("GATEWAY_SECRET_KEYS")
    for name in ("SECRET_KEYS", "REDIS_URL"):
        monkeypatch.setenv(f"GATEWAY_{name}_FILE", str(tmp_path / "secret"))
        with pytest.raises(ConfigurationError) as refusal:
            load()
        assert str(refusal.value).startswith(f"GATEWAY_{name} (from GATEWAY_{name}_FILE): ")
        assert SECRET not in str(refusal.value)


def test_an_idle_connection_outlives_that_of_a_load_balancer() -> None:
    assert load().keep_alive_seconds > 60


def test_nothing_of_a_job_is_kept_longer_than_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_RETENTION_SECONDS", "100")
    settings = load()
    assert (settings.deliveries_kept_seconds, settings.claims_kept_seconds) == (100, 100)
    monkeypatch.setenv("GATEWAY_DELIVERY_RETENTION_SECONDS", "50")
    monkeypatch.setenv("GATEWAY_IDEMPOTENCY_RETENTION_SECONDS", "86400")
    settings = load()
    assert (settings.deliveries_kept_seconds, settings.claims_kept_seconds) == (50, 100)
    monkeypatch.setenv("GATEWAY_ARCHIVE_AFTER_SECONDS", "-1")
    with pytest.raises(ConfigurationError, match="GATEWAY_ARCHIVE_AFTER_SECONDS"):
        load()


def test_an_idempotency_key_outlives_every_retry_of_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for refused in ("1", "0.5", "86399"):
        monkeypatch.setenv("GATEWAY_IDEMPOTENCY_RETENTION_SECONDS", refused)
        with pytest.raises(ConfigurationError, match=r"GATEWAY_IDEMPOTENCY_RETENTION_SECONDS: .* 86400"):
            load()
    for taken in ("0", "86400"):
        monkeypatch.setenv("GATEWAY_IDEMPOTENCY_RETENTION_SECONDS", taken)
        assert load().idempotency_retention_seconds == float(taken)


def test_archiving_that_would_do_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_RETENTION_SECONDS", "100")
    for refused in ("100", "101"):
        monkeypatch.setenv("GATEWAY_ARCHIVE_AFTER_SECONDS", refused)
        with pytest.raises(ConfigurationError, match=r"ARCHIVE_AFTER_SECONDS: .* GATEWAY_RETENTION_SECONDS"):
            load()
    monkeypatch.setenv("GATEWAY_ARCHIVE_AFTER_SECONDS", "99")
    assert load().archive_after_seconds == 99
