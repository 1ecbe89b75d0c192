"""`python -m bench.peers.install` installs what the peers need, each as far as it can be; it fails for none."""

from bench.peers.catalogue import ALL
from bench.peers.peer import Missing


def main() -> None:
    """Install and say what came of it."""
    for peer in ALL:
        try:
            peer.install()
            print(f"{peer.name}: {peer.version()}", flush=True)
        except Missing as reason:
            print(f"{peer.name} skipped: {reason}", flush=True)


if __name__ == "__main__":
    main()
