"""Typed settings: one frozen model per entry point, read from the environment once. Nothing else reads it."""

from functools import cache
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every function is told."""

    model_config = SettingsConfigDict(env_prefix="CHALLY_", frozen=True, extra="ignore")

    stage: Literal["local", "staging", "prod"]
    version: str
    commit: str


class DatabaseSettings(Settings):
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
    """Whoever writes to the outbox nudges its queue after the commit."""

    outbox_queue_url: str


class HttpSettings(OutboxWriterSettings):
    """What every HTTP function is told: `public_url` is the API's base and the issuer of our tokens."""

    public_url: str


class IdentitySettings(HttpSettings):
    """`relying_party_id` is the host that passkeys are bound to; `origins` are the pages that may ask for them."""

    signing_secret_arn: str
    uploads_bucket: str
    # set by the local AWS only; real S3 is addressed by bucket and region
    endpoint_url: str | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")
    relying_party_id: str
    origins: tuple[str, ...]


class SigningKeysSettings(DatabaseSettings):
    signing_secret_arn: str


class RolesSettings(DatabaseSettings):
    pass


class ExportsSettings(OutboxWriterSettings):
    uploads_bucket: str
    public_url: str


class NightlySettings(DatabaseSettings):
    uploads_bucket: str


class ChallengesSettings(HttpSettings):
    overlay_secret_arn: str


class WindowsSettings(DatabaseSettings):
    pass


class ProofsSettings(HttpSettings):
    uploads_bucket: str
    # set by the local AWS only; real S3 is addressed by bucket and region
    endpoint_url: str | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")


Scanner = Literal["none", "clamd", "guardduty"]


class VerdictsSettings(OutboxWriterSettings):
    """`clamd_url` is tcp://host:port or unix:///path, where clamd is the scanner."""

    uploads_bucket: str
    overlay_secret_arn: str
    malware_scanner: Scanner
    clamd_url: str | None = Field(default=None, pattern=r"^(tcp://[^/:]+:\d+|unix:///.+)$")

    @model_validator(mode="after")
    def _scannable(self) -> Self:
        if (self.malware_scanner == "clamd") != (self.clamd_url is not None):
            raise ValueError("CHALLY_CLAMD_URL goes with CHALLY_MALWARE_SCANNER=clamd, and with no other")
        return self


class RemovalsSettings(DatabaseSettings):
    uploads_bucket: str


class RemindersSettings(OutboxWriterSettings):
    pass


class ReconciliationSettings(DatabaseSettings):
    pass


class OutboxSettings(DatabaseSettings):
    mail_from: str
    public_url: str


class SystemSettings(HttpSettings):
    verdicts_queue_url: str
    malware_scanner: Scanner


class MigrationSettings(Settings):
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


BY_HANDLER: dict[str, type[Settings]] = {
    "identity.routes.handler": IdentitySettings,
    "identity.jobs.signing_keys_handler": SigningKeysSettings,
    "identity.jobs.roles_handler": RolesSettings,
    "identity.jobs.exports_handler": ExportsSettings,
    "identity.jobs.nightly_handler": NightlySettings,
    "challenges.routes.handler": ChallengesSettings,
    "challenges.jobs.windows_handler": WindowsSettings,
    "challenges.jobs.nightly_handler": WindowsSettings,
    "proofs.routes.handler": ProofsSettings,
    "proofs.jobs.verdicts_handler": VerdictsSettings,
    "proofs.jobs.removals_handler": RemovalsSettings,
    "notifications.jobs.reminders_handler": RemindersSettings,
    "notifications.jobs.nightly_handler": ReconciliationSettings,
    "notifications.jobs.outbox_handler": OutboxSettings,
    "system.routes.handler": SystemSettings,
    "migrations.handler.handler": MigrationSettings,
}


@cache
def load[T: Settings](model: type[T]) -> T:
    """The settings of this entry point, read once per environment."""
    return model()
