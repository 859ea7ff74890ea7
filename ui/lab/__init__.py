"""The lab of the page: several policies on one clip, live or recorded."""
