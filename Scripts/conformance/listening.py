"""What PEFT says while something runs: its warnings and what it logs."""

import logging
import warnings


class Listener(logging.Handler):
    """Collects what is logged as a warning or worse."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def heard_while(action):
    """→ the result of the action and the warnings on the way."""
    listener = Listener()
    logging.getLogger("peft").addHandler(listener)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = action()
    finally:
        logging.getLogger("peft").removeHandler(listener)
    # transformers deprecates its own calls with FutureWarning and DeprecationWarning: not about the adapter.
    about = [w for w in caught if not issubclass(w.category, (FutureWarning, DeprecationWarning))]
    return result, [str(w.message) for w in about] + listener.lines
