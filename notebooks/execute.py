"""Execute the notebooks from top to bottom and keep their outputs: `make notebooks`.

What a notebook was executed with is in its metadata, so that a test can tell outputs of other code.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def fingerprint(notebook: Any) -> str:
    """A hash of the code cells, in their order."""
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def main() -> None:
    """Execute each notebook in its folder; a cell that fails ends it."""
    import nbformat
    from nbclient import NotebookClient

    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
        ).execute()
        notebook.metadata["executed"] = fingerprint(notebook)
        for cell in notebook.cells:
            # When a cell ran says nothing, and makes a change of each line.
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                # Warnings name paths of the machine.
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        nbformat.write(notebook, path)
        print(f"{path.name}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
