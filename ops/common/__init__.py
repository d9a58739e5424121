"""What every other package uses: errors, files, devices, processes, the console."""
