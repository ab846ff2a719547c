"""Which patients' topics the subscribers of a socket ask for, as an XPUB tells it: no I/O.

What nobody asked for need not be made: a ward's beats are looked at by few, its alerts by all.
"""

from __future__ import annotations

from collections import Counter

MAX_TOPICS = 10_000  # as many as there may be patients: more are an attack on memory
MAX_NAME_BYTES = 512  # of a patient's name: 128 characters


class Audience:
    r"""The topics that are asked for, of messages that have a patient's name in theirs.

    Parameters
    ----------
    all_of : str
        ALL_BEATS or ALL_WAVES, which the topics of all patients begin with.
    most : int
        Topics that are kept at a time.

    Attributes
    ----------
    refused : int
        How many topics were not kept, because there were so many.

    Examples
    --------
    >>> audience = Audience("beat.")
    >>> audience.take(b"\x01beat.bed-1")
    'beat.bed-1'
    >>> audience.wants("bed-1"), audience.wants("bed-12"), audience.wants("bed-2")
    (True, True, False)
    """

    def __init__(self, all_of: str, most: int = MAX_TOPICS) -> None:
        self._all_of, self._most = all_of.encode(), most
        self._topics: set[bytes] = set()  # a topic may end within a character
        self._lengths: Counter[int] = Counter()  # how many topics have each
        self.refused = 0

    def take(self, frame: bytes) -> str | None:
        """Take note of a subscription that began or ended.

        Returns
        -------
        str or None
            The topic, where it began and is kept.
        """
        topic = frame[1:]
        concerns = topic.startswith(self._all_of) or self._all_of.startswith(topic)
        if not concerns or len(topic) > len(self._all_of) + MAX_NAME_BYTES:
            return None  # what is published here never has it
        is_known = topic in self._topics
        if frame[:1] != b"\x01":
            if is_known:
                self._topics.remove(topic)
                self._lengths -= Counter([len(topic)])
            return None
        if not is_known:
            if len(self._topics) >= self._most:
                self.refused += 1
                return None
            self._topics.add(topic)
            self._lengths[len(topic)] += 1
        return topic.decode(errors="replace")

    def wants(self, patient: str) -> bool:
        """Tell whether a patient's topic is asked for."""
        topic = self._all_of + patient.encode()
        # A topic stands for all that begin with it.
        return any(topic[:length] in self._topics for length in self._lengths)

    def may_want(self, patient: str) -> bool:
        """Tell whether a patient's topic is asked for, or may be: some topics were not kept."""
        return self.refused > 0 or self.wants(patient)
