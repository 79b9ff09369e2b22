"""A synthesised stage, and the questions that tests ask about it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.backend import Backend
from infra.settings import ROOT, StageSettings

LAYERS = ("core", "vendor", "imaging", "migrations")


@dataclass(frozen=True)
class Template:
    """A stage's CloudFormation template, its cdk-nag report, and the directory of its cloud assembly."""

    settings: StageSettings
    body: Mapping[str, Any]
    report: Mapping[str, Any]
    assembly: Path

    def resources(self, kind: str) -> dict[str, Any]:
        """Resources of a CloudFormation type, by their path in the stack."""
        return {path: resource for path, resource in self._paths() if resource["Type"] == kind}

    def properties(self, kind: str) -> dict[str, Any]:
        return {path: resource["Properties"] for path, resource in self.resources(kind).items()}

    def only(self, kind: str) -> Any:
        """The properties of the one resource of this type."""
        (properties,) = self.properties(kind).values()
        return properties

    def functions(self) -> dict[str, Any]:
        """The properties of our own functions, by the suffix of their name; not those that CDK brings."""
        prefix = f"{self.settings.name}-"
        functions = self.properties("AWS::Lambda::Function").values()
        return {f["FunctionName"].removeprefix(prefix): f for f in functions if "FunctionName" in f}

    def environment(self, suffix: str) -> dict[str, str]:
        variables = self.functions()[suffix]["Environment"]["Variables"]
        return {name: self.text(value) for name, value in variables.items()}

    def statements(self, role: str) -> list[dict[str, Any]]:
        """The statements of all policies of the role at this path."""
        return [
            statement
            for policy in self.properties("AWS::IAM::Policy").values()
            if role in [self.text(reference) for reference in policy["Roles"]]
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def allowed(self, role: str) -> set[tuple[str, str]]:
        """Every (action, resource) that the role may do; neither its own log nor the network interfaces of Lambda."""
        return {
            (action, self.text(resource))
            for statement in self.statements(role)
            if statement["Effect"] == "Allow"
            for action in many(statement["Action"])
            for resource in many(statement["Resource"])
            if not action.startswith(("logs:", "ec2:"))
        }

    def role(self, suffix: str) -> str:
        """The path of a function's role."""
        return self.text(self.functions()[suffix]["Role"]).removesuffix(".Arn")

    def suffix(self, alias: str) -> str:
        """The function whose alias `live` is at this path, or has this name."""
        alias = alias.removesuffix("[:6]:live")  # the name is taken out of the alias's ARN
        assert self.resources("AWS::Lambda::Alias")[alias]["Properties"]["Name"] == "live"
        function = self.properties("AWS::Lambda::Function")[alias.removesuffix("Live") + "Function"]
        return str(function["FunctionName"].removeprefix(f"{self.settings.name}-"))

    def scheduled(self) -> set[str]:
        """The functions that have a schedule."""
        schedules = self.properties("AWS::Scheduler::Schedule").values()
        return {self.suffix(self.text(schedule["Target"]["Arn"])) for schedule in schedules}

    def dependencies(self, path: str) -> set[str]:
        (resource,) = [resource for at, resource in self._paths() if at == path]
        return {self._path(logical_id) for logical_id in resource.get("DependsOn", [])}

    def text(self, value: Any) -> str:
        """A CloudFormation expression, with paths for references: `Storage/Uploads.Arn/uploads/*`."""
        match value:
            case {"Ref": str(name)}:
                return self._path(name)
            case {"Fn::GetAtt": [name, attribute]}:
                return f"{self._path(name)}.{attribute}"
            case {"Fn::Join": [separator, list(parts)]}:
                return str(separator).join(self.text(part) for part in parts)
            case {"Fn::Select": [index, {"Fn::Split": [separator, source]}]}:
                return f"{self.text(source)}[{separator}{index}]"
        return str(value)

    def _paths(self) -> Iterator[tuple[str, Any]]:
        return ((self._path(name), resource) for name, resource in self.body["Resources"].items())

    def _path(self, logical_id: str) -> str:
        resource = self.body["Resources"].get(logical_id)
        if resource is None:
            return f"<{logical_id}>"
        path = resource["Metadata"]["aws:cdk:path"].split("/", maxsplit=1)[1]
        return str(path).removesuffix("/Resource").removesuffix("/Default")


def synthesise(settings: StageSettings, directory: Path, *, source: str = "") -> Template:
    """Synthesise a stage with placeholder code and layers; `source` is the code of the migrations handler."""
    functions = _directory(directory / "functions", {"migrations/handler.py": source, "__pycache__/x.pyc": "x"})
    layers = {name: _directory(directory / name, {"python/module.py": name}) for name in LAYERS}
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assembly = directory / "cdk.out"
    app = App(context=context | {"aws:cdk:enable-path-metadata": True}, outdir=str(assembly), analytics_reporting=False)
    Backend(app, settings=settings, functions=functions, layers=layers)
    if not settings.local:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError as error:
        if not str(error).startswith("ValidationFailed"):  # that is for test_nag to say, from the report
            raise
    return Template(
        settings=settings,
        body=json.loads((assembly / f"{settings.name}.template.json").read_text()),
        report=json.loads((assembly / "validation-report.json").read_text()),
        assembly=assembly,
    )


def many(value: Any) -> list[Any]:
    """Return a list: CloudFormation allows one value in place of a list of one."""
    return value if isinstance(value, list) else [value]


def _directory(path: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path
