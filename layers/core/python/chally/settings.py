"""Typed settings: one frozen model per entry point, read from the environment once. Nothing else reads it."""

from collections.abc import Callable
from functools import cache
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class FunctionSettings(BaseSettings):
    """Settings that every function has."""

    model_config = SettingsConfigDict(env_prefix="CHALLY_", frozen=True, extra="ignore")

    stage: Literal["local", "staging", "prod"]
    version: str
    commit: str


BY_HANDLER: dict[str, type[FunctionSettings]] = {}
"""Entry point → the settings model it loads."""


def loaded_by[T: type[FunctionSettings]](*handlers: str) -> Callable[[T], T]:
    """Name the entry points that load a model. A test checks that infra sets the environment each of them needs."""

    def register(model: T) -> T:
        for handler in handlers:
            BY_HANDLER[handler] = model
        return model

    return register


class DatabaseSettings(FunctionSettings):
    """Either a URL per role (local stage), or the proxy's host, to which a role signs in with an IAM token."""

    database_app_url: SecretStr | None = None
    database_system_url: SecretStr | None = None
    database_host: str | None = None
    database_port: int = 5432
    database_name: str = "chally"
    region: str = Field(default="us-east-1", validation_alias="AWS_REGION")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.database_host is None and self.database_app_url is None and self.database_system_url is None:
            raise ValueError("set CHALLY_DATABASE_HOST, or CHALLY_DATABASE_APP_URL or CHALLY_DATABASE_SYSTEM_URL")
        return self


class OutboxWriterSettings(DatabaseSettings):
    """For functions that write to the outbox: they send a nudge to its queue after the commit."""

    outbox_queue_url: str


class HttpSettings(OutboxWriterSettings):
    """For HTTP functions. `public_url` is the base URL of the API and the issuer of our tokens."""

    public_url: str


@loaded_by("identity.routes.handler")
class IdentitySettings(HttpSettings):
    """`relying_party_id` is the host that passkeys are bound to; `origins` are the pages that may use them."""

    signing_secret_arn: str
    relying_party_id: str
    origins: tuple[str, ...]


@loaded_by("identity.jobs.signing_keys_handler")
class SigningKeysSettings(DatabaseSettings):
    signing_secret_arn: str
    receipt_secret_arn: str


@loaded_by("identity.jobs.roles_handler")
class RolesSettings(DatabaseSettings):
    pass


@loaded_by("identity.jobs.nightly_handler")
class RetentionSettings(DatabaseSettings):
    pass


@loaded_by("challenges.routes.handler")
class ChallengesSettings(HttpSettings):
    overlay_secret_arn: str


@loaded_by("challenges.jobs.windows_handler", "challenges.jobs.nightly_handler")
class WindowsSettings(DatabaseSettings):
    pass


@loaded_by("proofs.routes.handler")
class ProofsSettings(HttpSettings):
    uploads_bucket: str
    receipt_secret_arn: str
    # set by the local AWS only; real S3 is addressed by bucket and region
    endpoint_url: str | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")


Scanner = Literal["none", "clamd", "guardduty"]


@loaded_by("proofs.jobs.verdicts_handler")
class VerdictsSettings(OutboxWriterSettings):
    """`clamd_url`, tcp://host:port or unix:///path, is required if `malware_scanner` is clamd."""

    uploads_bucket: str
    overlay_secret_arn: str
    malware_scanner: Scanner
    clamd_url: str | None = Field(default=None, pattern=r"^(tcp://[^/:]+:\d+|unix:///.+)$")

    @model_validator(mode="after")
    def _scannable(self) -> Self:
        if (self.malware_scanner == "clamd") != (self.clamd_url is not None):
            raise ValueError("set CHALLY_CLAMD_URL if and only if CHALLY_MALWARE_SCANNER is clamd")
        return self


@loaded_by("proofs.jobs.removals_handler")
class RemovalsSettings(DatabaseSettings):
    uploads_bucket: str


@loaded_by("notifications.jobs.reminders_handler")
class RemindersSettings(OutboxWriterSettings):
    pass


@loaded_by("notifications.jobs.nightly_handler")
class ReconciliationSettings(DatabaseSettings):
    pass


@loaded_by("notifications.jobs.outbox_handler")
class OutboxSettings(DatabaseSettings):
    mail_from: str
    unsubscribe_secret_arn: str
    public_url: str


@loaded_by("notifications.jobs.housekeeping_handler")
class HousekeepingSettings(DatabaseSettings):
    pass


@loaded_by("privacy.routes.handler")
class PrivacySettings(HttpSettings):
    unsubscribe_secret_arn: str
    uploads_bucket: str
    # set by the local AWS only; real S3 is addressed by bucket and region
    endpoint_url: str | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")


@loaded_by("privacy.jobs.exports_handler")
class ExportsSettings(OutboxWriterSettings):
    uploads_bucket: str
    public_url: str


@loaded_by("privacy.jobs.purge_handler")
class PurgeSettings(DatabaseSettings):
    uploads_bucket: str


@loaded_by("system.routes.handler")
class SystemSettings(HttpSettings):
    verdicts_queue_url: str
    malware_scanner: Scanner


@loaded_by("migrations.handler.handler")
class MigrationSettings(FunctionSettings):
    database_owner_url: SecretStr | None = None
    database_host: str | None = None
    database_port: int = 5432
    database_name: str = "chally"
    database_secret_arn: str | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.database_owner_url is None and not (self.database_host and self.database_secret_arn):
            raise ValueError("set CHALLY_DATABASE_OWNER_URL, or CHALLY_DATABASE_HOST with CHALLY_DATABASE_SECRET_ARN")
        return self


@cache
def load[T: FunctionSettings](model: type[T]) -> T:
    """Return the settings of this entry point, read once per Lambda environment."""
    return model()
