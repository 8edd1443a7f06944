"""Where dead letters are kept: the port (`base`) and its adapters (`sqlite`)."""
