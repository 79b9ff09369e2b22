"""Who may do what: all of it, exactly. A grant that these tables lack fails here, and so does one that is missing."""

import pytest

from tests.infra.template import Template, many

OUTBOX = "Notifications/OutboxQueue/Queue.Arn"
VERDICTS = "Proofs/VerdictsQueue/Queue.Arn"
UPLOADS = "Storage/Uploads.Arn/uploads/*"
PICTURES = "Storage/Uploads.Arn/pictures/*"
EXPORTS = "Storage/Uploads.Arn/exports/*"
SIGNING_SECRET = "Identity/SigningSecret.Id"
RECEIPT_SECRET = "Identity/ReceiptSecret.Id"
OVERLAY_SECRET = "Challenges/OverlaySecret.Id"
CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

SEND = ("sqs:SendMessage", OUTBOX)
FAIL = ("sqs:SendMessage", "Failures.Arn")

MAY = {
    "identity": {SEND, ("secretsmanager:GetSecretValue", SIGNING_SECRET), ("s3:GetObject", EXPORTS)},
    "identity-keys": {
        FAIL,
        ("secretsmanager:GetSecretValue", SIGNING_SECRET),
        ("secretsmanager:PutSecretValue", SIGNING_SECRET),
        ("secretsmanager:GetSecretValue", RECEIPT_SECRET),
        ("secretsmanager:PutSecretValue", RECEIPT_SECRET),
    },
    "identity-roles": set(),
    "identity-exports": {
        SEND,
        FAIL,
        ("s3:GetObject", UPLOADS),
        ("s3:GetObject", PICTURES),
        ("s3:PutObject", EXPORTS),
        ("s3:ListBucket", "Storage/Uploads.Arn"),
    },
    "identity-nightly": {
        FAIL,
        ("s3:DeleteObjectVersion", UPLOADS),
        ("s3:DeleteObjectVersion", PICTURES),
        ("s3:DeleteObjectVersion", EXPORTS),
        ("s3:ListBucketVersions", "Storage/Uploads.Arn"),
    },
    "challenges": {SEND, ("secretsmanager:GetSecretValue", OVERLAY_SECRET)},
    "challenge-windows": {FAIL},
    "challenge-nightly": {FAIL},
    "proofs": {
        SEND,
        ("s3:PutObject", UPLOADS),
        ("s3:GetObject", PICTURES),
        ("secretsmanager:GetSecretValue", RECEIPT_SECRET),
    },
    "proof-removals": {
        FAIL,
        ("s3:DeleteObjectVersion", UPLOADS),
        ("s3:DeleteObjectVersion", PICTURES),
        ("s3:ListBucketVersions", "Storage/Uploads.Arn"),
    },
    "proof-verdicts": {
        SEND,
        ("s3:GetObject", UPLOADS),
        ("s3:GetObjectVersion", UPLOADS),
        ("s3:PutObject", PICTURES),
        ("s3:DeleteObjectVersion", UPLOADS),
        ("secretsmanager:GetSecretValue", OVERLAY_SECRET),
        ("s3:ListBucket", "Storage/Uploads.Arn"),
    }
    | {(action, VERDICTS) for action in CONSUME},
    "reminders": {SEND, FAIL},
    "reminder-nightly": {FAIL},
    "outbox": {FAIL, ("ses:SendEmail", "sender")} | {(action, OUTBOX) for action in CONSUME},
    "system": {("sqs:GetQueueAttributes", OUTBOX), ("sqs:GetQueueAttributes", VERDICTS)},
    "migrations": set(),
}

CONNECTS_AS = {
    "identity": {"chally_app", "chally_system"},
    "identity-keys": {"chally_system"},
    "identity-roles": {"chally_system"},
    "identity-exports": {"chally_system"},
    "identity-nightly": {"chally_system"},
    "challenges": {"chally_app"},
    "challenge-windows": {"chally_system"},
    "challenge-nightly": {"chally_system"},
    "proofs": {"chally_app", "chally_system"},
    "proof-verdicts": {"chally_system"},
    "proof-removals": {"chally_system"},
    "reminders": {"chally_system"},
    "reminder-nightly": {"chally_system"},
    "outbox": {"chally_system"},
    "system": {"chally_app"},
    "migrations": set(),
}

RDS = "arn:<AWS::Partition>:rds-db:<AWS::Region>:<AWS::AccountId>:dbuser:"
SENDER = "arn:<AWS::Partition>:ses:<AWS::Region>:<AWS::AccountId>:identity/Notifications/Sender"


@pytest.mark.parametrize("suffix", MAY)
class TestFunctions:
    def test_may_do_this_and_nothing_else(self, aws: Template, suffix: str) -> None:
        allowed = {(action, "sender" if on == SENDER else on) for action, on in aws.allowed(aws.role(suffix))}
        database = {("secretsmanager:GetSecretValue", "Database/Instance.MasterUserSecret.SecretArn")}
        assert {grant for grant in allowed if grant[0] != "rds-db:connect"} == (
            MAY[suffix] | (database if suffix == "migrations" else set())
        )

    def test_may_do_the_same_locally(self, local: Template, suffix: str) -> None:
        assert {(action, "sender" if on == "*" else on) for action, on in local.allowed(local.role(suffix))} == MAY[
            suffix
        ]

    def test_connects_to_the_proxy_as(self, aws: Template, suffix: str) -> None:
        users = {on for action, on in aws.allowed(aws.role(suffix)) if action == "rds-db:connect"}
        assert users == {f"{RDS}Database/Proxy.DBProxyArn[:6]/{role}" for role in CONNECTS_AS[suffix]}

    def test_is_told_the_urls_of_its_roles_locally(self, local: Template, suffix: str) -> None:
        told = {name: url for name, url in local.environment(suffix).items() if "DATABASE" in name}
        if suffix == "migrations":
            assert told == {"CHALLY_DATABASE_OWNER_URL": "postgresql://postgres@127.0.0.1/chally"}
        else:
            assert told == {
                f"CHALLY_DATABASE_{role.removeprefix('chally_').upper()}_URL": f"postgresql://{role}@127.0.0.1/chally"
                for role in CONNECTS_AS[suffix]
            }

    def test_writes_its_own_log_only(self, template: Template, suffix: str) -> None:
        role = template.role(suffix)
        (log,) = [s for s in template.statements(role) if any(a.startswith("logs:") for a in many(s["Action"]))]
        assert many(log["Action"]) == ["logs:CreateLogStream", "logs:PutLogEvents"]
        group = template.properties("AWS::Logs::LogGroup")[template.text(log["Resource"]).removesuffix(".Arn")]
        assert group["LogGroupName"] == f"/aws/lambda/{template.settings.name}-{suffix}"

    def test_its_code_cannot_use_lambdas_right_to_the_network(self, aws: Template, suffix: str) -> None:
        network = [s for s in aws.statements(aws.role(suffix)) if many(s["Action"])[0].startswith("ec2:")]
        allow, deny = sorted(network, key=lambda statement: str(statement["Effect"]))
        assert deny["Effect"] == "Deny"
        assert deny["Action"] == allow["Action"]
        assert aws.text(deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]).endswith(
            f":function/{aws.settings.name}-{suffix}"
        )


class TestEverybodyElse:
    def test_the_tables_are_complete(self, template: Template) -> None:
        assert MAY.keys() == CONNECTS_AS.keys() == template.functions().keys()

    def test_each_function_has_a_role_of_its_own(self, template: Template) -> None:
        roles = [template.role(suffix) for suffix in template.functions()]
        assert len(set(roles)) == len(roles)
        for role in roles:
            assert "ManagedPolicyArns" not in template.properties("AWS::IAM::Role")[role]

    def test_the_proxy_connects_to_the_instance_as_the_two_roles(self, aws: Template) -> None:
        instance = f"{RDS}Database/Instance.DbiResourceId"
        assert aws.allowed("Database/ProxyRole") == {
            ("rds-db:connect", f"{instance}/chally_app"),
            ("rds-db:connect", f"{instance}/chally_system"),
        }

    def test_guardduty_reads_uploads_and_keeps_its_own_rule(self, aws: Template) -> None:
        rules = "arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:rule/"
        rules += "DO-NOT-DELETE-AmazonGuardDutyMalwareProtectionS3*"
        bucket = "Storage/Uploads.Arn"
        guardduty = "malware-protection-plan.guardduty.amazonaws.com"
        role = "MalwareProtection/Role"
        assert aws.allowed(role) == {
            ("s3:GetObject", UPLOADS),
            ("s3:GetObjectVersion", UPLOADS),
            ("s3:PutObject", f"{bucket}/malware-protection-resource-validation-object"),
            *((f"s3:{action}", bucket) for action in ("ListBucket", "GetBucketNotification", "PutBucketNotification")),
            *((f"events:{action}Rule", rules) for action in ("Put", "Delete", "Describe")),
            *((f"events:{action}", rules) for action in ("PutTargets", "RemoveTargets", "ListTargetsByRule")),
        }
        (own,) = [s for s in aws.statements(role) if "events:PutRule" in many(s["Action"])]
        assert own["Condition"] == {"StringLike": {"events:ManagedBy": guardduty}}
        trusted = aws.properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
        assert [statement["Principal"] for statement in trusted] == [{"Service": guardduty}]

    def test_the_scheduler_invokes_the_scheduled_aliases(self, template: Template) -> None:
        assert template.allowed("Scheduler") == {
            ("lambda:InvokeFunction", "Identity/Keys/Live"),
            ("lambda:InvokeFunction", "Challenges/Windows/Live"),
            ("lambda:InvokeFunction", "Challenges/Nightly/Live"),
            ("lambda:InvokeFunction", "Identity/Exports/Live"),
            ("lambda:InvokeFunction", "Identity/Nightly/Live"),
            ("lambda:InvokeFunction", "Proofs/Removals/Live"),
            ("lambda:InvokeFunction", "Notifications/Outbox/Live"),
            ("lambda:InvokeFunction", "Notifications/Reminders/Live"),
            ("lambda:InvokeFunction", "Notifications/Nightly/Live"),
            FAIL,
        }

    def test_who_deletes_looks_nowhere_else(self, template: Template) -> None:
        looks = {
            "identity-nightly": ["uploads/*", "pictures/*", "exports/*"],
            "proof-removals": ["uploads/*", "pictures/*"],
        }
        for suffix, prefixes in looks.items():
            statements = template.statements(template.role(suffix))
            (listing,) = [s for s in statements if many(s["Action"]) == ["s3:ListBucketVersions"]]
            assert listing["Condition"] == {"StringLike": {"s3:prefix": prefixes}}

    def test_nobody_is_allowed_a_wildcard_of_actions(self, template: Template) -> None:
        documents = [p["PolicyDocument"] for p in template.properties("AWS::IAM::Policy").values()]
        for role in template.properties("AWS::IAM::Role").values():
            documents += [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"):
            documents += [policy["PolicyDocument"] for policy in template.properties(kind).values()]
        allowed = [s for document in documents for s in document["Statement"] if s["Effect"] == "Allow"]
        assert allowed
        assert [s for s in allowed if any("*" in action for action in many(s["Action"]))] == []

    def test_resource_policies_let_in_services_for_one_source_only(self, aws: Template) -> None:
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
            for policy in aws.properties(kind).values():
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow":
                        assert "Service" in statement["Principal"]
                        assert "aws:SourceArn" in str(statement["Condition"])
