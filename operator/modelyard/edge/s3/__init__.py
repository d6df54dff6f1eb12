"""Object stores: one adapter over the S3 library, its limits, listings, versions and what its errors mean.

The only room that knows the S3 library.
"""
