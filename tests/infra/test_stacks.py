"""Functions, queues, the malware scanner, buckets and the API in the synthesised templates."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from chally.settings import BY_HANDLER
from infra.settings import Domain, Inputs, load
from privacy import archive
from privacy.rules import EXPORT_LEASE, EXPORT_LIFE
from tests.support.cdk_template import Template, many, synthesise

# A person or a queue waits for these. The others start cold: a deploy, a schedule or an operator runs them.
SNAP_STARTED = {
    *("identity", "challenges", "proofs", "privacy", "system"),
    *("challenge-windows", "proof-verdicts", "reminders", "outbox"),
}
# `make admin` and the deploy invoke these; everything else has a trigger.
INVOKED_BY_HAND = {"identity-roles", "migrations"}
# Rates that other parts of the system depend on; other jobs may run at any rate.
PROMISED_RATES = {
    "identity-keys": "rate(1 day)",
    "identity-nightly": "rate(1 day)",
    "challenge-windows": "rate(15 minutes)",
    "challenge-nightly": "rate(1 day)",
    "proof-removals": "rate(1 hour)",
    "outbox": "rate(1 minute)",
    "outbox-housekeeping": "rate(5 minutes)",
    "privacy-exports": "rate(1 minute)",
    "privacy-purge": "rate(1 day)",
    "reminders": "rate(1 minute)",
    "reminder-nightly": "rate(1 day)",
}
EXTRA_LAYERS = {
    "proof-verdicts": {"ImagingLayer"},
    "proof-removals": {"ImagingLayer"},
    "migrations": {"MigrationsLayer"},
}

ROUTES = {
    "ANY /v1/auth/{proxy+}": "identity",
    "ANY /v1/me": "identity",
    "ANY /v1/me/{proxy+}": "identity",
    "PATCH /v1/me": "privacy",
    "DELETE /v1/me": "privacy",
    "ANY /v1/me/export": "privacy",
    "ANY /v1/me/timezone/preview": "privacy",
    "ANY /v1/notifications/unsubscribe": "privacy",
    "ANY /v1/challenges": "challenges",
    "ANY /v1/challenges/{proxy+}": "challenges",
    "ANY /v1/challenges/{id}/proofs": "proofs",
    "ANY /v1/proofs/{proxy+}": "proofs",
    "ANY /live": "system",
    "ANY /ready": "system",
    "ANY /health": "system",
    "ANY /version": "system",
    "ANY /.well-known/jwks.json": "system",
    "ANY /.well-known/change-password": "system",
    "ANY /openapi.json": "system",
    "ANY /docs": "system",
    "ANY /docs/{proxy+}": "system",
    "$default": "system",
}


class TestFunctions:
    def test_every_entry_point_is_deployed_once(self, template: Template) -> None:
        handlers = [function["Handler"] for function in template.functions().values()]
        assert sorted(handlers) == sorted(BY_HANDLER)

    def test_all_run_the_same_runtime_and_log_json(self, template: Template) -> None:
        for suffix, function in template.functions().items():
            assert function["Runtime"] == "python3.13"
            assert function["Architectures"] == ["arm64"]
            assert function["LoggingConfig"]["LogFormat"] == "JSON"
            group = template.text(function["LoggingConfig"]["LogGroup"])
            assert template.properties("AWS::Logs::LogGroup")[group]["RetentionInDays"] >= 7
            assert "ReservedConcurrentExecutions" not in function
            assert ("SnapStart" in function) == (suffix in SNAP_STARTED), suffix

    def test_each_environment_satisfies_the_settings_it_loads(
        self, template: Template, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for suffix, function in template.functions().items():
            for name in [name for name in os.environ if name.startswith("CHALLY_")]:
                monkeypatch.delenv(name)
            for name, value in template.environment(suffix).items():
                monkeypatch.setenv(name, value)
            settings = BY_HANDLER[function["Handler"]]()
            assert settings.stage == template.settings.stage
            assert os.environ["POWERTOOLS_SERVICE_NAME"] == function["Handler"].split(".")[0]
            assert os.environ["POWERTOOLS_METRICS_NAMESPACE"] == f"Chally/{template.settings.stage}"

    def test_an_export_fits_on_the_disk_and_its_lease_outlives_the_function(self, template: Template) -> None:
        function = template.functions()["privacy-exports"]
        assert function["EphemeralStorage"]["Size"] * 2**20 > archive.LIMIT + 200_000_000
        assert function["Timeout"] < EXPORT_LEASE.total_seconds()

    def test_only_some_functions_have_more_than_the_two_common_layers(self, template: Template) -> None:
        for suffix, function in template.functions().items():
            layers = {template.text(layer) for layer in function["Layers"]}
            assert layers == {"CoreLayer", "VendorLayer"} | EXTRA_LAYERS.get(suffix, set())

    def test_every_trigger_invokes_the_alias(self, template: Template) -> None:
        targets = [
            *(i["IntegrationUri"] for i in template.properties("AWS::ApiGatewayV2::Integration").values()),
            *(s["FunctionName"] for s in template.properties("AWS::Lambda::EventSourceMapping").values()),
            *(s["Target"]["Arn"] for s in template.properties("AWS::Scheduler::Schedule").values()),
        ]
        invoked = {template.suffix(template.text(target)) for target in targets}
        assert invoked == template.functions().keys() - INVOKED_BY_HAND

    def test_schedules_keep_their_promised_rates(self, template: Template) -> None:
        schedules = template.properties("AWS::Scheduler::Schedule").values()
        rates = {template.suffix(template.text(s["Target"]["Arn"])): s["ScheduleExpression"] for s in schedules}
        assert rates.items() >= PROMISED_RATES.items()
        for schedule in schedules:
            assert template.text(schedule["Target"]["DeadLetterConfig"]["Arn"]) == "Failures.Arn"
            assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 2

    def test_asynchronous_failures_are_kept(self, template: Template) -> None:
        configs = template.properties("AWS::Lambda::EventInvokeConfig").values()
        assert len(configs) == len(template.resources("AWS::Scheduler::Schedule"))
        for config in configs:
            assert config["Qualifier"] == "live"
            assert template.text(config["DestinationConfig"]["OnFailure"]["Destination"]) == "Failures.Arn"


class TestQueues:
    def test_every_queue_has_a_dead_letter_queue(self, template: Template) -> None:
        queues = template.properties("AWS::SQS::Queue")
        working = {path: q for path, q in queues.items() if not path.endswith(("DeadLetters", "Failures"))}
        assert working.keys() == {"Notifications/OutboxQueue/Queue", "Proofs/VerdictsQueue/Queue"}
        for path, queue in working.items():
            redrive = queue["RedrivePolicy"]
            assert redrive["maxReceiveCount"] == (12 if path.startswith("Proofs") else 5)
            assert template.text(redrive["deadLetterTargetArn"]) == path.removesuffix("Queue") + "DeadLetters.Arn"

    def test_a_batch_stays_invisible_longer_than_its_worker_runs(self, template: Template) -> None:
        for source in template.properties("AWS::Lambda::EventSourceMapping").values():
            queue = template.properties("AWS::SQS::Queue")[template.text(source["EventSourceArn"]).removesuffix(".Arn")]
            worker = template.functions()[template.suffix(template.text(source["FunctionName"]))]
            assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
            assert source["BatchSize"] == 10
            assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_each_is_encrypted_and_requires_tls(self, aws: Template) -> None:
        for path, queue in aws.properties("AWS::SQS::Queue").items():
            assert queue["SqsManagedSseEnabled"] is True
            assert _denies_plain_http(aws.properties("AWS::SQS::QueuePolicy")[f"{path}/Policy"])

    def test_messages_wait_an_hour_for_an_unavailable_scanner(self, template: Template) -> None:
        queue = template.properties("AWS::SQS::Queue")["Proofs/VerdictsQueue/Queue"]
        assert (queue["RedrivePolicy"]["maxReceiveCount"] - 1) * queue["VisibilityTimeout"] >= 3600

    def test_only_uploads_and_their_scans_reach_the_verdicts(self, template: Template) -> None:
        rules = template.properties("AWS::Events::Rule")
        uploaded = rules.pop("Proofs/Uploaded")["EventPattern"]["detail"]
        assert uploaded["object"] == {"key": [{"prefix": "uploads/"}]}
        assert template.text(uploaded["bucket"]["name"][0]) == "Storage/Uploads"
        if not template.settings.local:
            scanned = rules.pop("Proofs/Scanned")["EventPattern"]
            assert (scanned["source"], scanned["detail-type"]) == (
                ["aws.guardduty"],
                ["GuardDuty Malware Protection Object Scan Result"],
            )
            scanned = scanned["detail"]["s3ObjectDetails"]
            assert scanned["objectKey"] == [{"prefix": "uploads/"}]
            assert template.text(scanned["bucketName"][0]) == "Storage/Uploads"
        assert rules == {}
        for rule in template.properties("AWS::Events::Rule").values():
            assert [template.text(target["Arn"]) for target in rule["Targets"]] == ["Proofs/VerdictsQueue/Queue.Arn"]


class TestMalware:
    def test_guardduty_scans_all_uploads_in_aws(self, aws: Template) -> None:
        plan = aws.only("AWS::GuardDuty::MalwareProtectionPlan")
        (scanned,) = plan["ProtectedResource"].values()
        assert aws.text(scanned["BucketName"]) == "Storage/Uploads"
        assert scanned["ObjectPrefixes"] == ["uploads/"]
        assert plan["Actions"] == {"Tagging": {"Status": "DISABLED"}}
        assert aws.text(plan["Role"]) == "MalwareProtection/Role.Arn"
        # created after its role's policy, which GuardDuty tests at once
        assert "MalwareProtection/Role/DefaultPolicy" in aws.dependencies("MalwareProtection/Plan")
        for suffix in ("proof-verdicts", "system"):
            assert aws.environment(suffix)["CHALLY_MALWARE_SCANNER"] == "guardduty"

    def test_locally_nothing_is_scanned(self, local: Template) -> None:
        assert local.resources("AWS::GuardDuty::MalwareProtectionPlan") == {}
        for suffix in ("proof-verdicts", "system"):
            assert local.environment(suffix)["CHALLY_MALWARE_SCANNER"] == "none"

    def test_a_configured_clamd_scans_locally(self, local: Template, tmp_path: Path) -> None:
        required: dict[str, Any] = {
            "database_app_url": "a",
            "database_system_url": "s",
            "database_owner_url": "o",
            "public_url": "http://x",
        }
        inputs = Inputs.model_construct(commit="x", clamd_url="unix:///run/clamd", **required)
        template = synthesise(load("local", inputs), tmp_path)
        assert template.environment("proof-verdicts")["CHALLY_MALWARE_SCANNER"] == "clamd"
        assert template.environment("proof-verdicts")["CHALLY_CLAMD_URL"] == "unix:///run/clamd"
        assert template.environment("system")["CHALLY_MALWARE_SCANNER"] == "clamd"
        with pytest.raises(ValueError, match="CHALLY_CLAMD_URL"):
            load("local", Inputs.model_construct(clamd_url="localhost:3310", **required))


class TestBuckets:
    def test_each_is_private_and_requires_tls(self, aws: Template) -> None:
        for path, bucket in aws.properties("AWS::S3::Bucket").items():
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert bucket["BucketEncryption"]
            assert _denies_plain_http(aws.properties("AWS::S3::BucketPolicy")[f"{path}/Policy"])

    def test_the_bucket_is_versioned_and_its_prefixes_expire(self, template: Template) -> None:
        uploads = template.properties("AWS::S3::Bucket")["Storage/Uploads"]
        assert uploads["VersioningConfiguration"] == {"Status": "Enabled"}
        assert uploads["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
        assert set(uploads["PublicAccessBlockConfiguration"].values()) == {True}
        temporary, pictures, exports, leftovers = uploads["LifecycleConfiguration"]["Rules"]
        assert (temporary["Prefix"], temporary["ExpirationInDays"]) == ("uploads/", 30)
        assert (pictures["Prefix"], pictures["ExpirationInDays"]) == ("pictures/", 400)
        assert (exports["Prefix"], exports["ExpirationInDays"]) == ("exports/", EXPORT_LIFE.days)
        assert exports["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
        assert leftovers["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
        (cors,) = uploads["CorsConfiguration"]["CorsRules"]
        assert cors["AllowedMethods"] == ["PUT", "GET", "HEAD"]
        assert cors["AllowedOrigins"] == list(template.settings.cors_origins)
        assert "*" not in "".join(cors["AllowedOrigins"] + cors["AllowedHeaders"])
        assert {"if-none-match", "x-amz-checksum-sha256"} <= set(cors["AllowedHeaders"])

    def test_access_to_the_bucket_is_logged_in_aws(self, aws: Template) -> None:
        uploads = aws.properties("AWS::S3::Bucket")["Storage/Uploads"]
        assert aws.text(uploads["LoggingConfiguration"]["DestinationBucketName"]) == "Storage/AccessLogs"


class TestApi:
    def test_every_path_reaches_its_function(self, template: Template) -> None:
        integrations = template.properties("AWS::ApiGatewayV2::Integration")
        routes = {}
        for route in template.properties("AWS::ApiGatewayV2::Route").values():
            integration = integrations[template.text(route["Target"]).removeprefix("integrations/")]
            assert integration["PayloadFormatVersion"] == "2.0"
            routes[route["RouteKey"]] = template.suffix(template.text(integration["IntegrationUri"]))
        assert routes == ROUTES

    def test_cors_admits_named_origins_only(self, template: Template) -> None:
        cors = template.only("AWS::ApiGatewayV2::Api")["CorsConfiguration"]
        assert cors["AllowOrigins"] == list(template.settings.cors_origins)
        assert "*" not in "".join(cors["AllowOrigins"] + cors["AllowHeaders"])
        assert cors["MaxAge"] == 3600
        assert set(cors["AllowMethods"]) == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
        # what browsers send with a trace (W3C Trace Context), and what our routes read
        assert {"traceparent", "tracestate", "idempotency-key", "x-csrf-token"} <= set(cors["AllowHeaders"])

    def test_it_throttles_and_its_access_log_contains_no_secrets(self, template: Template) -> None:
        stage = template.only("AWS::ApiGatewayV2::Stage")
        assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == template.settings.requests_per_second
        logged = json.loads(stage["AccessLogSettings"]["Format"])
        assert logged["request_id"] == "$context.requestId"
        # paths contain invite codes, query strings contain mail tokens
        assert not {"$context.path", "$context.customDomain.basePathMatched"} & set(logged.values())

    def test_every_function_has_the_public_url(self, template: Template) -> None:
        local = "http://localhost:4566/_aws/execute-api/chally"
        for suffix in template.functions():
            address = template.environment(suffix)["CHALLY_PUBLIC_URL"]
            assert address == (local if template.settings.local else "Gateway/Api.ApiEndpoint")

    def test_passkeys_are_bound_to_its_host_and_allowed_origins(self, template: Template) -> None:
        environment = template.environment("identity")
        local = template.settings.local
        assert environment["CHALLY_RELYING_PARTY_ID"] == ("localhost" if local else "Gateway/Api.ApiEndpoint[/2]")
        own = "http://localhost:4566" if local else "Gateway/Api.ApiEndpoint"
        assert json.loads(environment["CHALLY_ORIGINS"]) == [*template.settings.cors_origins, own]

    def test_a_custom_domain_replaces_the_default_endpoint(self, tmp_path: Path) -> None:
        certificate = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
        inputs = Inputs.model_construct(commit="x", domain_name="api.chally.example", certificate_arn=certificate)
        settings = load("prod", inputs)
        assert settings.domain == Domain(name="api.chally.example", certificate_arn=certificate)
        template = synthesise(settings, tmp_path)
        assert template.only("AWS::ApiGatewayV2::Api")["DisableExecuteApiEndpoint"] is True
        assert template.only("AWS::ApiGatewayV2::DomainName")["DomainName"] == "api.chally.example"
        environment = template.environment("identity")
        assert environment["CHALLY_PUBLIC_URL"] == "https://api.chally.example"
        assert environment["CHALLY_RELYING_PARTY_ID"] == "api.chally.example"
        assert json.loads(environment["CHALLY_ORIGINS"]) == ["https://chally.example", "https://api.chally.example"]


def _denies_plain_http(policy: Any) -> bool:
    return any(
        statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and statement["Principal"] == {"AWS": "*"}
        and many(statement["Action"])[0].endswith(":*")
        for statement in policy["PolicyDocument"]["Statement"]
    )
