"""Finding the best settings for a file and its handlers, by trials on copies."""
