"""Settings of the stages: the deployer's own come from the environment, the rest are set here."""

import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from aws_cdk import RemovalPolicy
from aws_cdk.aws_logs import RetentionDays
from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra import names

ROOT = Path(__file__).parent.parent

# a reserved domain: no mail is sent until the deployer sets a real sender
MAIL_FROM = "no-reply@chally.example"


def _split(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


type Stage = Literal["local", "staging", "prod"]
type Scanner = Literal["none", "clamd", "guardduty"]
type Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Inputs(BaseSettings):
    """The deployer's settings, from variables `CHALLY_…`. Only the local stage requires any: its URLs."""

    model_config = SettingsConfigDict(env_prefix="CHALLY_", frozen=True, extra="ignore")

    commit: str | None = None
    public_url: str | None = None
    database_app_url: str | None = None
    database_system_url: str | None = None
    database_owner_url: str | None = None
    domain_name: str | None = None
    certificate_arn: str | None = None
    cors_origins: Origins | None = None
    relying_party_id: str | None = None
    mail_from: str | None = None
    alarm_email: str | None = None
    clamd_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The API's custom host name and its ACM certificate (in the same region)."""

    name: str
    certificate_arn: str


@dataclass(frozen=True, kw_only=True)
class DatabaseUrls:
    """The local stage's Postgres: a URL per role."""

    app: str
    system: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class DatabaseInstance:
    """The RDS instance of a stage. Storage is in GiB; RDS derives `max_connections` from the instance's memory."""

    instance_type: str
    storage: int
    max_storage: int
    multi_az: bool
    backup_days: int
    deletion_protection: bool
    max_connections: int


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """The settings of one stage."""

    stage: Stage
    version: str
    commit: str
    database: DatabaseUrls | DatabaseInstance
    public_url: str | None
    """Base URL of the API. None: that of the domain, or API Gateway's own."""
    domain: Domain | None
    endpoint_zones: int
    """The number of zones with interface endpoints; with one, the other zone calls across."""
    cors_origins: tuple[str, ...]
    relying_party_id: str | None
    """The host name that passkeys are bound to. None: the API's own. Changing it invalidates every existing passkey."""
    mail_from: str
    alarm_email: str | None
    malware_scanner: Scanner
    clamd_url: str | None
    """tcp://host:port or unix:///path; local stage only, because functions in AWS can only reach AWS services."""
    requests_per_second: int
    log_retention: RetentionDays
    removal_policy: RemovalPolicy
    """For resources that hold people's data."""

    @property
    def local(self) -> bool:
        """Whether this stage runs on one machine, on MiniStack."""
        return self.stage == "local"

    @property
    def name(self) -> str:
        """Name of the stack, and prefix of other names."""
        return names.stack(self.stage)

    @property
    def metrics_namespace(self) -> str:
        """Namespace of our own metrics in CloudWatch; two stages may share an account."""
        return f"Chally/{self.stage}"


def load(stage: str, inputs: Inputs | None = None) -> StageSettings:
    """Return the settings of `stage`. Raises ValueError if the stage is unknown or a setting is missing or invalid."""
    stages = {"local": _local, "staging": _staging, "prod": _prod}
    if stage not in stages:
        raise ValueError(f"unknown stage {stage!r}: use one of {', '.join(stages)}")
    return stages[stage](inputs or Inputs())


def _local(inputs: Inputs) -> StageSettings:
    app, system, owner = inputs.database_app_url, inputs.database_system_url, inputs.database_owner_url
    if not (inputs.public_url and app and system and owner):
        raise ValueError(
            "the local stage needs CHALLY_PUBLIC_URL, CHALLY_DATABASE_APP_URL, CHALLY_DATABASE_SYSTEM_URL and "
            "CHALLY_DATABASE_OWNER_URL: `make up` sets them"
        )
    if inputs.clamd_url and not inputs.clamd_url.startswith(("tcp://", "unix:///")):
        raise ValueError(f"CHALLY_CLAMD_URL must be tcp://host:port or unix:///path, not {inputs.clamd_url!r}")
    return StageSettings(
        stage="local",
        version=_version(),
        commit=inputs.commit or _commit(),
        database=DatabaseUrls(app=app, system=system, owner=owner),
        public_url=inputs.public_url,
        domain=None,
        endpoint_zones=0,
        cors_origins=inputs.cors_origins or ("http://localhost:3000", "http://localhost:5173"),
        relying_party_id="localhost",
        mail_from=inputs.mail_from or MAIL_FROM,
        alarm_email=None,
        malware_scanner="clamd" if inputs.clamd_url else "none",
        clamd_url=inputs.clamd_url or None,
        requests_per_second=1000,
        log_retention=RetentionDays.ONE_WEEK,
        removal_policy=RemovalPolicy.DESTROY,
    )


def _staging(inputs: Inputs) -> StageSettings:
    return StageSettings(
        stage="staging",
        version=_version(),
        commit=inputs.commit or _commit(),
        database=DatabaseInstance(
            instance_type="t4g.medium",
            storage=20,
            max_storage=100,
            multi_az=False,
            backup_days=7,
            deletion_protection=False,
            max_connections=400,
        ),
        public_url=None,
        domain=_domain(inputs),
        endpoint_zones=1,
        cors_origins=inputs.cors_origins or ("https://staging.chally.example",),
        relying_party_id=_relying_party_id(inputs, "https://staging.chally.example"),
        mail_from=inputs.mail_from or MAIL_FROM,
        alarm_email=inputs.alarm_email,
        malware_scanner="guardduty",
        clamd_url=None,
        requests_per_second=100,
        log_retention=RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )


def _prod(inputs: Inputs) -> StageSettings:
    return StageSettings(
        stage="prod",
        version=_version(),
        commit=inputs.commit or _commit(),
        database=DatabaseInstance(
            instance_type="m7g.large",
            storage=100,
            max_storage=1000,
            multi_az=True,
            backup_days=35,
            deletion_protection=True,
            max_connections=800,
        ),
        public_url=None,
        domain=_domain(inputs),
        endpoint_zones=2,
        cors_origins=inputs.cors_origins or ("https://chally.example",),
        relying_party_id=_relying_party_id(inputs, "https://chally.example"),
        mail_from=inputs.mail_from or MAIL_FROM,
        alarm_email=inputs.alarm_email,
        malware_scanner="guardduty",
        clamd_url=None,
        requests_per_second=1000,
        log_retention=RetentionDays.ONE_YEAR,
        # not plain RETAIN: a failed first deploy must not leave names behind that block the next one
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


def _domain(inputs: Inputs) -> Domain | None:
    if inputs.domain_name is None and inputs.certificate_arn is None:
        return None
    if inputs.domain_name is None or inputs.certificate_arn is None:
        raise ValueError("set both CHALLY_DOMAIN_NAME and CHALLY_CERTIFICATE_ARN, or neither")
    return Domain(name=inputs.domain_name, certificate_arn=inputs.certificate_arn)


def _relying_party_id(inputs: Inputs, *default_origins: str) -> str | None:
    """Return the relying party id. Browsers accept one only from pages of that host or of its subdomains."""
    given = inputs.relying_party_id
    hosts = [urlsplit(origin).hostname for origin in inputs.cors_origins or default_origins] + [inputs.domain_name]
    if given is not None and not any(host == given or (host or "").endswith(f".{given}") for host in hosts):
        raise ValueError(
            f"CHALLY_RELYING_PARTY_ID {given!r} must be the host, or a parent domain, of an origin in "
            "CHALLY_CORS_ORIGINS or of CHALLY_DOMAIN_NAME; browsers would refuse every passkey"
        )
    return given


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _commit() -> str:
    """Return the commit being deployed, or "unknown" outside a repository or before its first commit."""
    git = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return git.stdout.strip() if git.returncode == 0 else "unknown"
