"""The bucket of uploads, pictures and exports."""

from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.function import Function
from infra.settings import StageSettings

UPLOADS = "uploads/"
PICTURES = "pictures/"
EXPORTS = "exports/"


class Storage(Construct):
    """A private, versioned bucket that reports new objects to EventBridge.

    `uploads/` and `exports/` are temporary; `pictures/` holds the cleaned copies that others see. The bucket is
    encrypted with S3's own keys rather than KMS, so a pre-signed PUT needs no encryption header and its signer no right
    to a key.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, construct_id)
        self.uploads = s3.Bucket(
            self,
            "Uploads",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=not settings.local,  # MiniStack speaks plain HTTP and enforces the policy
            minimum_tls_version=None if settings.local else 1.2,
            # a verdict applies to one version of an object; a second PUT creates another version
            versioned=True,
            removal_policy=settings.removal_policy,
            server_access_logs_bucket=self._access_logs(settings),
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="temporary-uploads",
                    prefix=UPLOADS,
                    expiration=Duration.days(30),
                    noncurrent_version_expiration=Duration.days(30),
                ),
                s3.LifecycleRule(
                    id="pictures",
                    prefix=PICTURES,
                    expiration=Duration.days(400),
                    noncurrent_version_expiration=Duration.days(1),
                ),
                s3.LifecycleRule(
                    id="exports",
                    prefix=EXPORTS,
                    expiration=Duration.days(7),  # as identity.rules.EXPORT_LIFE promises
                    noncurrent_version_expiration=Duration.days(1),
                ),
                s3.LifecycleRule(
                    id="leftovers",
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                    expired_object_delete_marker=True,
                ),
            ],
            cors=[
                s3.CorsRule(
                    # pages upload photos, and show pictures and exports
                    allowed_methods=[s3.HttpMethods.PUT, s3.HttpMethods.GET, s3.HttpMethods.HEAD],
                    allowed_origins=list(settings.cors_origins),
                    # the headers that the signature covers, so browsers must send them
                    allowed_headers=["content-type", "content-length", "if-none-match", "x-amz-checksum-sha256"],
                    exposed_headers=["etag", "x-amz-version-id"],
                    max_age=3600,
                )
            ],
        )
        # CloudFormation can turn EventBridge on; the L2's `event_bridge_enabled` would add a custom resource whose
        # function may change the notifications of every bucket
        bucket = self.uploads.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )

    def grant_objects(self, function: Function, *actions: str, prefix: str = UPLOADS) -> None:
        """Allow a function these actions on the objects under a prefix."""
        function.allow(*actions, resources=[self.uploads.arn_for_objects(f"{prefix}*")])
        bucket = self.uploads.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        Validations.of(function.role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions::AwsSolutions-IAM5[Resource::<{Stack.of(self).get_logical_id(bucket)}.Arn>/{prefix}*]",
                reason="Objects are named when they are uploaded; the right covers this prefix and these actions only.",
            )
        )

    def _access_logs(self, settings: StageSettings) -> s3.Bucket | None:
        if settings.local:
            return None
        return s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=settings.removal_policy,
            lifecycle_rules=[s3.LifecycleRule(id="a-year", expiration=Duration.days(365))],
        )
