"""Owns where tables lie: a folder of this machine, or a prefix of an S3-compatible bucket. Knows no table."""

from recloser.store.places.bucket import Bucket, BucketAccess, bucket_and_prefix
from recloser.store.places.folder import Folder
from recloser.store.places.place import Overtaken, Place, in_turn

__all__ = ["Bucket", "BucketAccess", "Folder", "Overtaken", "Place", "bucket_and_prefix", "in_turn"]
