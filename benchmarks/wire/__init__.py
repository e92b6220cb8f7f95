"""What `wires.py` measures: payloads, the server that sends them, and the contestants that read them."""
