"""Decides whether a text shows anything to its reader.

Python's `unicodedata` does not know the Unicode properties White_Space, Default_Ignorable_Code_Point and
Noncharacter_Code_Point. The regular expressions of pydantic do.
"""

from __future__ import annotations

from typing import Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

# A character that shows something. A mark alone has no letter to change. Private and unassigned characters
# count, because they may be newer than our tables. No property tells that the last two symbols are drawn
# without ink: BRAILLE PATTERN BLANK and MUSICAL SYMBOL NULL NOTEHEAD. Only their names do.
_VISIBLE: Final = (
    r"[^\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Cc}\p{Cf}\p{M}"
    "\N{BRAILLE PATTERN BLANK}\N{MUSICAL SYMBOL NULL NOTEHEAD}]"
)
_shows_something: Final = SchemaValidator(core_schema.str_schema(pattern=_VISIBLE, regex_engine="rust-regex"))


def is_blank(text: str) -> bool:
    """Whether the text is empty or all its characters are invisible."""
    return not _shows_something.isinstance_python(text)


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise PydanticCustomError("blank", "shows nothing")
    return text


#: For fields of models, after their `Field`. The type of the error is `blank`.
NotBlank: Final = AfterValidator(_not_blank)
