"""The router as one node of a larger graph that has a state and a context type of its own.

Run:     cogenesis models pull          (once)
         python examples/subgraph.py
Cloud:   with OPENAI_API_KEY set, the cloud sketches; without it, the local model writes alone.
Policy:  your own, or another: COGENESIS_CONFIG=policy.yaml python examples/subgraph.py
Undo:    cogenesis context purge --user fictional-robin

The router keeps its own state private. What the larger graph keeps (its messages, its checkpoints, its
traces) is the larger graph's own business: here it has no checkpointer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime

from cogenesis_langchain import ContextItem, create_privacy_router

USER = "fictional-robin"  # Robin does not exist, nor does anybody in these texts
CONTEXT = [
    ContextItem("profile", "Name: Robin Achterberg\nAddress: 9 Tollgate Mews\nPartner: Imke Dorrestein"),
    ContextItem("writing", "Hey you lot! Robin here. Bring a chair, bring a jumper, bring nothing else."),
]


@dataclass
class Desk:
    """The larger graph's own context. The router reads `user_id` and knows nothing of the rest."""

    user_id: str
    signature: str


class Letter(MessagesState):
    """The larger graph's own state. The router shares `messages` and knows nothing of the rest."""

    wish: str
    signed: str


def ask(state: Letter) -> dict[str, Any]:
    """Turns the wish into the request that the router reads."""
    return {"messages": [HumanMessage(f"Write {state['wish']}. End without a signature.")]}


def sign(state: Letter, runtime: Runtime[Desk]) -> dict[str, Any]:
    """Puts the signature under what the router wrote."""
    return {"signed": f"{state['messages'][-1].text}\n\n{runtime.context.signature}"}


def main() -> None:
    """ask -> write (the router) -> sign."""
    router = create_privacy_router()
    router.engine.store.add(USER, CONTEXT, values_of=router.engine.values_of)  # twice adds nothing

    graph = StateGraph(Letter, context_schema=Desk)
    graph.add_node("ask", ask)
    graph.add_node("write", router)
    graph.add_node("sign", sign)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "write")
    graph.add_edge("write", "sign")
    graph.add_edge("sign", END)

    desk = Desk(user_id=USER, signature="Robin & Imke")
    wish = "a thank-you note to our neighbour, who lent us her ladder when we moved in"
    done = graph.compile().invoke({"wish": wish}, context=desk)
    print(done["signed"])


if __name__ == "__main__":
    main()
