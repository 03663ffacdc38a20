"""All lowerings: whoever imports this has lower's table complete."""

from . import lower_conv as lower_conv
from . import lower_custom as lower_custom
from . import lower_elementwise as lower_elementwise
from . import lower_f16 as lower_f16
from . import lower_grad as lower_grad
from . import lower_hybrid as lower_hybrid
from . import lower_int8 as lower_int8
from . import lower_int16 as lower_int16
from . import lower_move as lower_move
from . import lower_nn as lower_nn
from . import lower_norm as lower_norm
from . import lower_reduce as lower_reduce
from . import lower_sequence as lower_sequence
from . import lower_signal as lower_signal
from . import lower_train as lower_train
from . import lower_uint8 as lower_uint8
