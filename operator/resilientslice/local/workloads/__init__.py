"""What stands for a Deployment on this machine: replicas of a process, their probes, files and commands."""
