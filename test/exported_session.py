"""What an exported page of the console holds."""

import json


def dialogues_of(html):
    """The dialogues of the session in it. Raises ValueError for another file."""
    begin = html.index('id="session">') + len('id="session">')
    return json.loads(html[begin : html.index("</script>", begin)])["dialogues"]
