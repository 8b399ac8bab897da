"""`rslice demo`: drives real traffic through a slice on this machine and measures each claim the project makes."""
