"""The graph, its importers and builder, and a NumPy reference of every op."""

from . import ops_elementwise as ops_elementwise
from . import ops_f16 as ops_f16
from . import ops_grad as ops_grad
from . import ops_hybrid as ops_hybrid
from . import ops_int8 as ops_int8
from . import ops_int16 as ops_int16
from . import ops_move as ops_move
from . import ops_nn as ops_nn
from . import ops_reduce as ops_reduce
from . import ops_sequence as ops_sequence
from . import ops_signal as ops_signal
from . import ops_train as ops_train
from . import ops_uint8 as ops_uint8
from . import reference_elementwise as reference_elementwise
from . import reference_f16 as reference_f16
from . import reference_grad as reference_grad
from . import reference_hybrid as reference_hybrid
from . import reference_int8 as reference_int8
from . import reference_int16 as reference_int16
from . import reference_move as reference_move
from . import reference_nn as reference_nn
from . import reference_reduce as reference_reduce
from . import reference_sequence as reference_sequence
from . import reference_signal as reference_signal
from . import reference_train as reference_train
from . import reference_uint8 as reference_uint8
