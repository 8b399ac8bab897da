"""The schema `catalog`, as numbered files. A file that has been released is never edited."""
