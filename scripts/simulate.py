"""Runs simulations by seed: to replay one that has failed, or to search where the tests have not.

scripts/simulate checkpoints --seed 190                 one seed again, as the test that has named it runs it
scripts/simulate cluster --seed 7 --kind staged
scripts/simulate checkpoints --seed 10000 --count 5000  others
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "simulation"))

import test_cluster_simulation
import test_simulated_checkpoints

from actorflow.testing.simulation import SimulationFailed, sweep

KINDS = {"": {}, "regional": {"regional": True}, "staged": {"staged": True}, "staged-regional": {"staged": True, "regional": True}}


def main() -> int:
    """Return 0 if all seeds hold, 1 if one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=("checkpoints", "cluster"), help="a job under checkpoints, or the control plane of a cluster"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--count", type=int, default=1, help="how many")
    parser.add_argument(
        "--kind", choices=[kind for kind in KINDS if kind], default="", help="of a cluster: what its tests run beside the usual"
    )
    arguments = parser.parse_args()
    if arguments.kind and arguments.what != "cluster":
        parser.error("only clusters are of a kind")
    kind = KINDS[arguments.kind]
    scenario = test_simulated_checkpoints.run if arguments.what == "checkpoints" else test_cluster_simulation.run
    began = time.monotonic()
    try:
        sweep(lambda seed: scenario(seed, **kind), range(arguments.seed, arguments.seed + arguments.count))
    except SimulationFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"{arguments.count} seeds from {arguments.seed} hold ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
