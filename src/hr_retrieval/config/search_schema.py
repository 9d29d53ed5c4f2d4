"""What the verbs from documents to an answer read of a composed config: `index`, `search`, `serve`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class IndexColumns:
    """Which columns of a corpus are read.

    Attributes:
        id: null takes `document_id` or `id`.
        text: one, or a list that is joined by lines; null takes `text` or `description`.
        metadata: a list, kept for filters; null takes all others, of a prepared data set none.
    """

    id: str | None = None
    text: Any = None
    metadata: Any = None


@dataclass
class IndexConfig:
    """What `index` reads.

    Attributes:
        encoder: as of `evaluate`; in a change, null takes the one that made the index.
        corpus: a prepared data set, Parquet, CSV (.csv, .tsv) or JSON lines (.jsonl), a file or a
            folder of files.
        columns: of the corpus.
        delimiter: of CSV.
        encoding: of CSV.
        side: as what the encoder reads the documents, `document` or `query`.
        overlap: tokens that the passages of a long text share; null reads its beginning alone.
        lexical: what hybrid search counts, `words` or `ngrams`; null for neither.
        ranking: `ranking/mixing=auto` mixes as the run or the folder has chosen, `none` does not.
        table: where the passages lie, an address in an object store such as s3://bucket/vacancies;
            null for the folder in `output`.
        change: whether the corpus is added to the index in `output`, in the place of documents of
            the same ids.
        delete: ids to take out of it.
        output: a new folder, the folder of an index that was stopped, or of one to change.
    """

    encoder: str | None = None
    corpus: str | None = None
    columns: IndexColumns = field(default_factory=IndexColumns)
    delimiter: str = ","
    encoding: str = "utf-8"
    side: str = "document"
    overlap: int | None = 32
    lexical: str | None = "words"
    ranking: Any = MISSING
    table: str | None = None
    change: bool = False
    delete: list[str] = field(default_factory=list)
    output: str = MISSING


@dataclass
class SearchConfig:
    """What `search` reads.

    Attributes:
        index: the folder that `index` wrote.
        query: what is looked for.
        resume: a file to search with instead, PDF, DOCX or text.
        encoder: where the encoder that made the index lies now, or its graph (`export format=onnx`),
            which starts sooner; null for where it lay then.
        k: how many documents are shown.
        filters: by metadata column a value, a list of values, or `{from: 1, to: 2}`.
        passages: whether a document scores by its best passage (`max`) or all of them (`mean`).
        hybrid: how words count too: `rank` or `score` fusion; null for meaning alone.
        weight: of words in `score` fusion.
        rerank: a cross-encoder's folder, which orders the best hundred anew.
        recall: whether to say what share of the exactly best documents is found.
        output: text or json.
    """

    index: str = MISSING
    query: str | None = None
    resume: str | None = None
    encoder: str | None = None
    k: int = 10
    filters: Any = field(default_factory=dict)
    passages: str = "max"
    hybrid: str | None = None
    weight: float = 0.3
    rerank: str | None = None
    recall: bool = False
    output: str = "text"


@dataclass
class ServeConfig:
    """What `serve` reads.

    Attributes:
        index: the folder that `index` wrote.
        encoder: as of `search`.
        rerank: as of `search`.
        host: the address to listen on; loopback unless told otherwise.
        port: to listen on.
        token: a variable of the environment that holds what each request must bring as its bearer
            token; null lets everybody in.
        upload_mb: the largest file.
        upload_pages: the most pages of a file.
        timeout_s: how long a request may take.
        rate: requests a minute of one address; null for any number.
        batch: queries that are encoded together at most.
        drain_s: how long running requests may take when the service is told to end.
    """

    index: str = MISSING
    encoder: str | None = None
    rerank: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    upload_mb: float = 10
    upload_pages: int = 30
    timeout_s: float = 20
    rate: int | None = 3000
    batch: int = 32
    drain_s: int = 10
