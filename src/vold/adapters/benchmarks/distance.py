"""How far two texts are apart."""


def distance(text: str, option: str) -> int:
    """Levenshtein's distance: signs to insert, delete or replace. A whole column of the table is one number (Myers 1999, Hyyrö 2003), so that a long
    text costs one pass for each option."""
    if not option:
        return len(text)
    places: dict[str, int] = {}
    for place, sign in enumerate(option):
        places[sign] = places.get(sign, 0) | 1 << place
    full, last = (1 << len(option)) - 1, 1 << (len(option) - 1)
    more, less, edits = full, 0, len(option)  # where a cell is one more, and one less, than the cell over it; the cell at the bottom
    for sign in text:
        here = places.get(sign, 0)
        same = (((here & more) + more) ^ more) | here | less
        right_more, right_less = less | (full & ~(same | more)), more & same
        edits += (right_more & last != 0) - (right_less & last != 0)
        right_more, right_less = right_more << 1 | 1, right_less << 1
        more, less = (right_less | ~(same | right_more)) & full, right_more & same & full
    return edits
