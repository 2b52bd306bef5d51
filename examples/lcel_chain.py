"""The router in a chain: `prompt | router | last_text | parser`. The text streams as it is written.

Run:     cogenesis models pull          (once)
         python examples/lcel_chain.py
Cloud:   with OPENAI_API_KEY set, the cloud sketches; without it, the local model writes alone.
Policy:  your own, or another: COGENESIS_CONFIG=policy.yaml python examples/lcel_chain.py
Undo:    cogenesis context purge --user fictional-robin
"""

from __future__ import annotations

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from cogenesis_langchain import ContextItem, create_privacy_router, last_text

USER = "fictional-robin"  # Robin does not exist, nor does anybody in these texts
CONTEXT = [
    ContextItem("profile", "Name: Robin Achterberg\nAddress: 9 Tollgate Mews\nPartner: Imke Dorrestein"),
    ContextItem("writing", "Hey you lot! Robin here. Bring a chair, bring a jumper, bring nothing else."),
]


def main() -> None:
    """Tells the store who Robin is, then writes as Robin."""
    # A chain cannot pass `context=`, so the router is told at construction for whom it writes.
    router = create_privacy_router(user_id=USER)
    router.engine.store.add(USER, CONTEXT, values_of=router.engine.values_of)  # twice adds nothing

    prompt = ChatPromptTemplate.from_messages([("user", "Write {what} to {whom}: {points}.")])
    chain = prompt | router | last_text | StrOutputParser()

    asked = {
        "what": "an invitation",
        "whom": "the rowing club",
        "points": "our housewarming on Friday at eight, Imke cooks, no presents",
    }
    for piece in chain.stream(asked):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
