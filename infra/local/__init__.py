"""The same CDK app on one machine: an embedded Postgres, a local AWS, and `cdk deploy` of the `local` stage."""
