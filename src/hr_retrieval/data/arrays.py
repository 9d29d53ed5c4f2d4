"""What the numbers in an array of a data set mean, by the name of its type."""

import numpy as np
import numpy.typing as npt

# Of texts, ids and groups.
Hashes = npt.NDArray[np.uint64]
# Equal codes mark equal things; of 32 bits where there are tens of millions.
Codes = npt.NDArray[np.signedinteger]
# Where something stands in what was read.
Places = npt.NDArray[np.int64]
# Rows of the query table or of the corpus.
Rows = npt.NDArray[np.integer]
# A pair of a query and a document as one number, `query * documents + document`.
PairNumbers = npt.NDArray[np.int64]
# The split of each query, as `data.tables.SPLITS` numbers them.
Splits = npt.NDArray[np.int8]
# Where the values of each row begin, and where the last ones end: lists in one array.
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
