"""A policy file of one's own: first see what would leave the machine, then let it leave.

Run:     cogenesis models pull          (once)
         export OPENAI_API_KEY=...      (or name another cloud in own_policy.yaml)
         python examples/own_policy.py [POLICY.yaml]
Undo:    cogenesis context purge --user fictional-robin

The dry run is what `cogenesis explain` prints: it decides, builds the exact bytes and contacts no cloud.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cogenesis_langchain import ContextItem, RouterContext, create_privacy_router

USER = "fictional-robin"  # Robin does not exist, nor does anybody in these texts
CONTEXT = [
    ContextItem("profile", "Name: Robin Achterberg\nAddress: 9 Tollgate Mews\nPartner: Imke Dorrestein"),
    ContextItem("writing", "Hey you lot! Robin here. Bring a chair, bring a jumper, bring nothing else."),
]
ASKED = "Write a birthday invitation to the rowing club: Imke turns forty on Friday, 9 Tollgate Mews."
OWN_POLICY = Path(__file__).with_name("own_policy.yaml")


def main(policy: str | Path = OWN_POLICY) -> None:
    """A dry run, then the run; the bytes are the same."""
    router = create_privacy_router(policy)
    router.engine.store.add(USER, CONTEXT, values_of=router.engine.values_of)  # twice adds nothing

    dry = router.invoke(ASKED, context=RouterContext(user_id=USER, dry_run=True))
    print(f"route {dry['route']}, because: {'; '.join(dry['reasons'])}")
    for outbound in dry["outbound"]:
        print(f"would go to {outbound['endpoint']}:\n{outbound['body']}")
    if not dry["outbound"]:
        print("nothing would leave this machine")

    done = router.invoke(ASKED, context=RouterContext(user_id=USER))
    sent = [receipt for receipt in done["receipts"] if receipt["status"] == "sent"]
    print(f"\n{len(sent)} request(s) left this machine. The text:\n\n{done['text']}")
    for warning in done["warnings"]:
        print(f"note: {warning}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
