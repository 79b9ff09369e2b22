"""Every right of every role, exactly: a right that is not in these tables fails, and so does a missing one.

A new job that connects as `chally_system` and uses no other resource needs no line here.
"""

from tests.support.cdk_template import Template, many

OUTBOX = "Notifications/OutboxQueue/Queue.Arn"
VERDICTS = "Proofs/VerdictsQueue/Queue.Arn"
UPLOADS = "Storage/Uploads.Arn/uploads/*"
PICTURES = "Storage/Uploads.Arn/pictures/*"
EXPORTS = "Storage/Uploads.Arn/exports/*"
SIGNING_SECRET = "Identity/SigningSecret.Id"
RECEIPT_SECRET = "Identity/ReceiptSecret.Id"
OVERLAY_SECRET = "Challenges/OverlaySecret.Id"
UNSUBSCRIBE_SECRET = "Notifications/UnsubscribeSecret.Id"
CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

SEND = ("sqs:SendMessage", OUTBOX)
FAIL = ("sqs:SendMessage", "Failures.Arn")

RIGHTS: dict[str, set[tuple[str, str]]] = {
    "identity": {SEND, ("secretsmanager:GetSecretValue", SIGNING_SECRET)},
    "identity-keys": {
        ("secretsmanager:GetSecretValue", SIGNING_SECRET),
        ("secretsmanager:PutSecretValue", SIGNING_SECRET),
        ("secretsmanager:GetSecretValue", RECEIPT_SECRET),
        ("secretsmanager:PutSecretValue", RECEIPT_SECRET),
    },
    "privacy": {SEND, ("s3:GetObject", EXPORTS), ("secretsmanager:GetSecretValue", UNSUBSCRIBE_SECRET)},
    "privacy-exports": {
        SEND,
        ("s3:GetObject", UPLOADS),
        ("s3:GetObject", PICTURES),
        ("s3:PutObject", EXPORTS),
        ("s3:ListBucket", "Storage/Uploads.Arn"),
    },
    "privacy-purge": {
        ("s3:DeleteObjectVersion", UPLOADS),
        ("s3:DeleteObjectVersion", PICTURES),
        ("s3:DeleteObjectVersion", EXPORTS),
        ("s3:ListBucketVersions", "Storage/Uploads.Arn"),
    },
    "challenges": {SEND, ("secretsmanager:GetSecretValue", OVERLAY_SECRET)},
    "proofs": {
        SEND,
        ("s3:PutObject", UPLOADS),
        ("s3:GetObject", PICTURES),
        ("secretsmanager:GetSecretValue", RECEIPT_SECRET),
    },
    "proof-removals": {
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
    "reminders": {SEND},
    "outbox": {("ses:SendEmail", "sender"), ("secretsmanager:GetSecretValue", UNSUBSCRIBE_SECRET)}
    | {(action, OUTBOX) for action in CONSUME},
    "system": {("sqs:GetQueueAttributes", OUTBOX), ("sqs:GetQueueAttributes", VERDICTS)},
}
"""Function → (action, resource); not the right of every scheduled function to report a failed run."""

CONNECTS_AS = {
    "identity": {"chally_app", "chally_system"},
    "privacy": {"chally_app", "chally_system"},
    "challenges": {"chally_app"},
    "proofs": {"chally_app", "chally_system"},
    "system": {"chally_app"},
    "migrations": set[str](),
}
"""Function → its database roles; every other function is a job and connects as `chally_system` alone."""

RDS = "arn:<AWS::Partition>:rds-db:<AWS::Region>:<AWS::AccountId>:dbuser:"
SENDER = "arn:<AWS::Partition>:ses:<AWS::Region>:<AWS::AccountId>:identity/Notifications/Sender"


def rights(template: Template, suffix: str) -> set[tuple[str, str]]:
    return RIGHTS.get(suffix, set()) | ({FAIL} if suffix in template.scheduled() else set())


def roles(suffix: str) -> set[str]:
    return CONNECTS_AS.get(suffix, {"chally_system"})


class TestFunctions:
    def test_each_has_these_rights_and_no_others(self, aws: Template) -> None:
        master = {("secretsmanager:GetSecretValue", "Database/Instance.MasterUserSecret.SecretArn")}
        for suffix in aws.functions():
            allowed = {(action, "sender" if on == SENDER else on) for action, on in aws.allowed(aws.role(suffix))}
            granted = {right for right in allowed if right[0] != "rds-db:connect"}
            assert granted == rights(aws, suffix) | (master if suffix == "migrations" else set()), suffix

    def test_each_has_the_same_rights_locally(self, local: Template) -> None:
        for suffix in local.functions():
            allowed = {(action, "sender" if on == "*" else on) for action, on in local.allowed(local.role(suffix))}
            assert allowed == rights(local, suffix), suffix

    def test_each_connects_to_the_proxy_as_its_own_roles(self, aws: Template) -> None:
        for suffix in aws.functions():
            users = {on for action, on in aws.allowed(aws.role(suffix)) if action == "rds-db:connect"}
            assert users == {f"{RDS}Database/Proxy.DBProxyArn[:6]/{role}" for role in roles(suffix)}, suffix

    def test_each_has_the_urls_of_its_own_roles_locally(self, local: Template) -> None:
        for suffix in local.functions():
            urls = {name: url for name, url in local.environment(suffix).items() if "DATABASE" in name}
            expected = {
                f"CHALLY_DATABASE_{role.removeprefix('chally_').upper()}_URL": f"postgresql://{role}@127.0.0.1/chally"
                for role in roles(suffix)
            }
            if suffix == "migrations":
                expected = {"CHALLY_DATABASE_OWNER_URL": "postgresql://postgres@127.0.0.1/chally"}
            assert urls == expected, suffix

    def test_each_writes_to_its_own_log_only(self, template: Template) -> None:
        for suffix in template.functions():
            statements = template.statements(template.role(suffix))
            (log,) = [s for s in statements if any(action.startswith("logs:") for action in many(s["Action"]))]
            assert many(log["Action"]) == ["logs:CreateLogStream", "logs:PutLogEvents"]
            group = template.properties("AWS::Logs::LogGroup")[template.text(log["Resource"]).removesuffix(".Arn")]
            assert group["LogGroupName"] == f"/aws/lambda/{template.settings.name}-{suffix}"

    def test_code_cannot_use_the_right_of_lambda_to_make_network_interfaces(self, aws: Template) -> None:
        for suffix in aws.functions():
            network = [s for s in aws.statements(aws.role(suffix)) if many(s["Action"])[0].startswith("ec2:")]
            allow, deny = sorted(network, key=lambda statement: str(statement["Effect"]))
            assert deny["Effect"] == "Deny"
            assert deny["Action"] == allow["Action"]
            source = aws.text(deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"])
            assert source.endswith(f":function/{aws.settings.name}-{suffix}")


class TestOtherRoles:
    def test_the_tables_name_functions_that_exist(self, template: Template) -> None:
        assert RIGHTS.keys() | CONNECTS_AS.keys() <= template.functions().keys()

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

    def test_the_scheduler_invokes_the_scheduled_aliases_only(self, template: Template) -> None:
        schedules = template.properties("AWS::Scheduler::Schedule").values()
        aliases = {("lambda:InvokeFunction", template.text(schedule["Target"]["Arn"])) for schedule in schedules}
        assert template.allowed("Scheduler") == aliases | {FAIL}

    def test_functions_that_delete_objects_list_only_their_prefixes(self, template: Template) -> None:
        prefixes_of = {
            "privacy-purge": ["uploads/*", "pictures/*", "exports/*"],
            "proof-removals": ["uploads/*", "pictures/*"],
        }
        for suffix, prefixes in prefixes_of.items():
            statements = template.statements(template.role(suffix))
            (listing,) = [s for s in statements if many(s["Action"]) == ["s3:ListBucketVersions"]]
            assert listing["Condition"] == {"StringLike": {"s3:prefix": prefixes}}

    def test_no_statement_allows_a_wildcard_of_actions(self, template: Template) -> None:
        documents = [p["PolicyDocument"] for p in template.properties("AWS::IAM::Policy").values()]
        for role in template.properties("AWS::IAM::Role").values():
            documents += [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"):
            documents += [policy["PolicyDocument"] for policy in template.properties(kind).values()]
        allowed = [s for document in documents for s in document["Statement"] if s["Effect"] == "Allow"]
        assert allowed
        assert [s for s in allowed if any("*" in action for action in many(s["Action"]))] == []

    def test_resource_policies_admit_services_for_one_source_only(self, aws: Template) -> None:
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
            for policy in aws.properties(kind).values():
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow":
                        assert "Service" in statement["Principal"]
                        assert "aws:SourceArn" in str(statement["Condition"])
