"""What turns the outside world into events. HTTP comes in through aiohttp, whose only doorway this room is."""
