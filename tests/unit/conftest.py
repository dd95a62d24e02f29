from tests.unit.support.hypothesis_profiles import load_profile

load_profile()
