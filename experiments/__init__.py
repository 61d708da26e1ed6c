"""The lessons and commands; what they share is in `experiments.common`."""

import balancier

balancier.check_packages()
