"""How an exported encoder is used, as a section of its model card."""

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import PLACE

_LIBRARY = """With Sentence Transformers, in this folder{note}:

```python
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(".")
print(model.similarity(model.encode_query(["welder"]), model.encode_document(["Joins metal parts", "Cooks meals"])))
```
"""
_GRAPH = """With onnxruntime, in this folder{note}:

```python
import numpy, onnxruntime, tokenizers
texts = tokenizers.Tokenizer.from_file("tokenizer.json").encode_batch(["{text}"])
arrays = {{"input_ids": numpy.array([own.ids for own in texts]), "attention_mask": numpy.array([own.attention_mask for own in texts])}}
(vectors,) = onnxruntime.InferenceSession("model.onnx").run(None, arrays)
```
"""
_PROJECT = """With hr_retrieval, the documents of a table{note}:

```bash
python -m hr_retrieval.index encoder=<this folder> corpus=vacancies.csv output=indexes/vacancies
python -m hr_retrieval.search index=indexes/vacancies query='welder'
python -m hr_retrieval.serve index=indexes/vacancies
```
"""


def usage(encoder: Encoder, graph: bool) -> str:
    """Three ways, the one of this folder first.

    Args:
        graph: whether it is the folder of an ONNX graph; else it is one of Sentence Transformers.
    """
    worded = encoder.wording["query_template"].replace(PLACE, "welder")
    library = _LIBRARY.format(note=" as `format=sentence-transformers` exports it" if graph else "")
    project = _PROJECT.format(note=", by the encoder as `format=sentence-transformers` exports it" if graph else "")
    onnx = _GRAPH.format(note="" if graph else " as `format=onnx` exports it", text=worded.replace('"', '\\"'))
    ways = [onnx, library, project] if graph else [library, onnx, project]
    return "\n".join(["## Use", "", _words(encoder), "", *ways])


def _words(encoder: Encoder) -> str:
    """What is put around texts, and who does it."""
    templates = encoder.wording
    if all(template == PLACE for template in templates.values()):
        return "Queries and documents are read as they are."
    query, document = (f"`{templates[f'{kind}_template']}`" for kind in ("query", "document"))
    return (
        f"Queries are read as {query}, documents as {document}. `encode_query` and `encode_document` put that around "
        "them, `encode` and the graph do not."
    )
