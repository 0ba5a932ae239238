"""Where events go: lines, a live view, files, clients on the network."""
