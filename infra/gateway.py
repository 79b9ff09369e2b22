"""The HTTP API and its routes to functions."""

import json
from urllib.parse import urlsplit

from aws_cdk import Acknowledgment, Duration, Fn, Tags, Validations
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.function import Function
from infra.settings import StageSettings

# No query strings and no paths: they contain mail tokens and invite codes.
ACCESS_LOG = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "user_agent": "$context.identity.userAgent",
    "method": "$context.httpMethod",
    "route": "$context.routeKey",
    "protocol": "$context.protocol",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "integration_latency_ms": "$context.integrationLatency",
    "integration_error": "$context.integrationErrorMessage",
}


class Gateway(Construct):
    """An HTTP API with CORS for named origins, throttling and a JSON access log. `route` adds its routes."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, construct_id)
        self.api = apigwv2.HttpApi(
            self,
            "Api",
            api_name=settings.name,
            create_default_stage=False,
            # with a custom domain, API Gateway's own endpoint would be a way around it
            disable_execute_api_endpoint=settings.domain is not None,
            cors_preflight=apigwv2.CorsPreflightOptions(
                allow_origins=list(settings.cors_origins),
                allow_credentials=True,
                allow_methods=[
                    apigwv2.CorsHttpMethod.GET,
                    apigwv2.CorsHttpMethod.HEAD,
                    apigwv2.CorsHttpMethod.POST,
                    apigwv2.CorsHttpMethod.PUT,
                    apigwv2.CorsHttpMethod.PATCH,
                    apigwv2.CorsHttpMethod.DELETE,
                ],
                allow_headers=[
                    "authorization",
                    "content-type",
                    "idempotency-key",
                    "traceparent",
                    "tracestate",
                    "x-csrf-token",
                    "x-session-transport",
                ],
                expose_headers=["idempotent-replayed", "location", "retry-after", "x-request-id"],
                max_age=Duration.hours(1),
            ),
        )
        log_group = logs.LogGroup(
            self,
            "AccessLog",
            # under this prefix API Gateway needs no resource policy, of which a region allows ten
            log_group_name=f"/aws/vendedlogs/{settings.name}/api",
            retention=settings.log_retention,
            removal_policy=settings.removal_policy,
        )
        stage = apigwv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            detailed_metrics_enabled=True,
            throttle=apigwv2.ThrottleSettings(
                rate_limit=settings.requests_per_second, burst_limit=2 * settings.requests_per_second
            ),
            domain_mapping=self._domain(settings),
        )
        resource = stage.node.default_child
        assert isinstance(resource, apigwv2.CfnStage)
        resource.access_log_settings = apigwv2.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group.log_group_arn, format=json.dumps(ACCESS_LOG)
        )
        if settings.local:
            # MiniStack takes the API's id from this tag, so a local system keeps its URL
            Tags.of(self.api).add("ms-custom-id", "chally")
        # https://{domain} or https://{id}.execute-api…; neither depends on the functions, which need it
        self.url = settings.public_url or (
            f"https://{settings.domain.name}" if settings.domain else self.api.api_endpoint
        )
        # the origin and the host of the API; API Gateway's own address is only known at deploy time
        known = urlsplit(self.url) if settings.public_url or settings.domain else None
        self.origin = f"{known.scheme}://{known.netloc}" if known else self.url
        self.host = str(known.hostname) if known else Fn.select(2, Fn.split("/", self.url))

    def route(self, function: Function, *paths: str) -> None:
        """Route `paths` to `function`: of one method (`PATCH /v1/me`), of any method (`/v1/me`), or all that is left
        (`$default`).
        """
        integration = integrations.HttpLambdaIntegration(
            f"{function.node.id}Integration", function.alias, scope_permission_to_route=False
        )
        keys = apigwv2.HttpRouteKey
        for path in paths:
            method, _, resource = path.rpartition(" ")
            key = keys.DEFAULT if path == "$default" else keys.with_(resource, apigwv2.HttpMethod(method or "ANY"))
            route = apigwv2.HttpRoute(self, path, http_api=self.api, route_key=key, integration=integration)
            Validations.of(route).acknowledge(
                Acknowledgment(
                    id="AwsSolutions::AwsSolutions-APIG4",
                    reason="The function authorises: it knows public routes, ended sessions and cookies with their "
                    "CSRF token, and row-level security protects the data behind it.",
                )
            )

    def _domain(self, settings: StageSettings) -> apigwv2.DomainMappingOptions | None:
        if settings.domain is None:
            return None
        return apigwv2.DomainMappingOptions(
            domain_name=apigwv2.DomainName(
                self,
                "Domain",
                domain_name=settings.domain.name,
                certificate=acm.Certificate.from_certificate_arn(self, "Certificate", settings.domain.certificate_arn),
            )
        )
