"""The hand-written script that the release is compared with: the same tools, called by a competent person."""
