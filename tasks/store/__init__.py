"""The store: artifacts and records as objects, in a local folder or an S3 bucket, behind one interface."""
