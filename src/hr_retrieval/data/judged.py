"""The arrays that relevance follows from."""

from dataclasses import dataclass

from hr_retrieval.data.arrays import Codes, Offsets, Rows, Splits
from hr_retrieval.data.grades import Grades, Weights


@dataclass(frozen=True, eq=False)
class JudgedArrays:
    """What is judged, of one prepared data set or of several with their rows one behind the other.

    Attributes:
        document_duplicate: a code for each document; equal codes mark near-duplicates.
        document_text: the number of the queries' text that the document's normalised text is, or
            -1.
        group_offsets: the groups of document `d` are `document_groups[group_offsets[d] :
            group_offsets[d + 1]]`.
        document_groups: codes: its stated group, and the groups of the queries that it is a stated
            positive of.
        query_group: the code of each query's stated group; of queries without one a negative code,
            one for each text.
        query_text: equal numbers, from 0, mark queries of equal normalised text.
        query_split: 0 train, 1 validation, 2 test.
        text_offsets: the queries of text `t` are `text_queries[text_offsets[t] : text_offsets[t +
            1]]`.
        text_queries: rows of queries, ascending for each text.
        positive_offsets: the positives of query `q` are `positive_documents[positive_offsets[q] :
            positive_offsets[q + 1]]`.
        positive_documents: rows in the corpus, ascending for each query.
        positive_grades: of each of them its stated grade, 1 to 3.
        positive_weights: likewise its stated weight, above 0.
        negative_offsets: likewise for stated negatives.
        negative_documents: likewise.
    """

    document_duplicate: Codes
    document_text: Codes
    group_offsets: Offsets
    document_groups: Codes
    query_group: Codes
    query_text: Codes
    query_split: Splits
    text_offsets: Offsets
    text_queries: Rows
    positive_offsets: Offsets
    positive_documents: Rows
    positive_grades: Grades
    positive_weights: Weights
    negative_offsets: Offsets
    negative_documents: Rows
