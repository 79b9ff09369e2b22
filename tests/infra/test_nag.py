"""The rules of cdk-nag's AwsSolutions for the stages in AWS: no violations; suppressions are narrow and explained."""

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk.aws_s3 import Bucket
from cdk_nag import AwsSolutionsChecks

from tests.support.cdk_template import Template

PROOFS = ("Proofs/Routes", "Proofs/Verdicts", "Proofs/Removals")
PRIVACY = ("Privacy/Exports", "Privacy/Purge")
# Rule → part of the path of the constructs where it is suppressed.
EXPECTED = {
    "AwsSolutions-APIG4": "Gateway/",
    "AwsSolutions-IAM5[Resource::*]": "Role",
    "AwsSolutions-L1": "/Function",
    "AwsSolutions-RDS10": "Database/Instance",
    "AwsSolutions-RDS11": "Database/Instance",
    "AwsSolutions-RDS3": "Database/Instance",
    "AwsSolutions-SMG4": "Secret",
    "AwsSolutions-SQS3": "Failures",
}
# Part of a resource with a wildcard → the functions and constructs whose roles may have it.
WILDCARDS = {
    "uploads/*": {*PROOFS, *PRIVACY, "MalwareProtection"},
    "pictures/*": {*PROOFS, *PRIVACY},
    "exports/*": {*PRIVACY, "Privacy/Routes"},
    "GuardDuty": {"MalwareProtection"},
}


def test_no_rule_is_violated(aws: Template) -> None:
    report = _report(aws)
    assert [(v["ruleName"], _where(v)) for v in report["violations"]] == []
    assert report["conclusion"] == "success"


def test_the_checked_template_is_complete(aws: Template) -> None:
    assert len(aws.body["Resources"]) > 180
    assert len(aws.functions()) >= 16
    assert aws.resources("AWS::RDS::DBInstance")


def test_a_violation_is_found(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), analytics_reporting=False)
    Bucket(Stack(app, "Careless"), "Bucket")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):  # a bucket that does not require TLS
        app.synth()


def test_suppressions_are_narrow_and_explained(aws: Template) -> None:
    for suppressed in _report(aws)["suppressedViolations"]:
        rule, reason, at = suppressed["ruleName"], suppressed["reason"], suppressed["acknowledgedAt"]
        _, construct = at.split("/", maxsplit=1)  # fails for the stack and the app: too wide for a suppression
        wildcard = next((roles for part, roles in WILDCARDS.items() if part in rule), None)
        if wildcard:
            assert construct.removesuffix("/Role") in wildcard, rule
        else:
            assert EXPECTED[rule] in construct, rule
        assert len(reason) > 50, f"the reason for {rule} at {at} is too short"
        for violating in suppressed["violatingConstructs"]:
            below = violating["constructPath"].removeprefix(f"{at}/")
            assert below in ("Resource", "DefaultPolicy/Resource"), f"{at} covers {violating['constructPath']}"


def test_production_does_not_use_the_suppressions_for_staging(prod: Template) -> None:
    rules = {suppressed["ruleName"] for suppressed in _report(prod)["suppressedViolations"]}
    assert not rules & {"AwsSolutions-RDS3", "AwsSolutions-RDS10"}


def _report(template: Template) -> Any:
    (report,) = [r for r in template.report["pluginReports"] if r["pluginName"] == "AwsSolutions"]
    return report


def _where(violation: Any) -> list[str]:
    return [construct["constructPath"] for construct in violation["violatingConstructs"]]
