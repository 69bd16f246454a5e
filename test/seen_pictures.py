"""What the eyes said of a picture is remembered for as long as the tests run: hundreds of tests look at a few dozen
pictures, and a look of the embedded model costs a third of a second. What they say is a function of the weights, the
picture and the number of glances, and that is the key. test/core/eyes sees without it."""

import hashlib
import weakref
from collections import OrderedDict

MOST = 200  # pictures; what is kept of one is 0.3 MB


def remembering(see):
    """The same as `Sight.see`."""
    seen, prints = OrderedDict(), weakref.WeakKeyDictionary()

    def fingerprint(owner, tensors):
        versions = tuple(tensor._version for tensor in tensors)
        if prints.get(owner, (None,))[0] != versions:
            found = hashlib.blake2b(digest_size=16)
            for tensor in tensors:
                found.update(tensor.float().cpu().numpy().tobytes())
            prints[owner] = versions, found.digest()
        return prints[owner][1]

    def see_once(self, rgb, glances=None):
        weights = fingerprint(self.trained, list(self.trained.state_dict().values()))
        eyes = fingerprint(self.eyes, [self.eyes._weights.kernel.weight])
        picture = hashlib.blake2b(rgb.tobytes(), digest_size=16).digest()
        key = weights, eyes, self.eyes.engine, self.device, self.glances, glances, rgb.shape, picture
        if key not in seen:
            features = see(self, rgb, glances)
            seen[key] = features, self._last and self._last[1]
            while len(seen) > MOST:
                seen.popitem(last=False)
        seen.move_to_end(key)
        features, second = seen[key]
        if glances is None:
            self._last = rgb.copy(), second
        return features.clone()

    return see_once
