"""Which products a policy is for: each product follows one policy at most.

What is assigned to a product beats what is for its category, and that beats what is for all; of equals the policy
made last wins. A policy that is switched off keeps its products: a kill switch hands nothing over to another policy.
"""

from collections.abc import Collection

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.pricing.policy import PricingPolicy


@frozen
class PolicyScope:
    """Active products of the seller that are not excluded, and that are assigned to the policy, or, unless it is
    `assigned_only`, assigned to none and of its category; without a category, of any but `others`.

    `within` narrows a run to one category.
    """

    policy_id: PolicyId
    seller_id: AccountId
    assigned_only: bool
    category_id: CategoryId | None = None
    other_categories: frozenset[CategoryId] = frozenset()
    within: CategoryId | None = None

    def covers(self, category_id: CategoryId, assigned: PolicyId | None) -> bool:
        """Whether it is for a product of that category that is assigned to that policy."""
        if self.within not in {None, category_id}:
            return False
        if assigned is not None:
            return assigned == self.policy_id
        if self.assigned_only:
            return False
        return category_id not in self.other_categories if self.category_id is None else category_id == self.category_id


def policy_scope(
    policy: PricingPolicy, of_seller: Collection[PricingPolicy], within: CategoryId | None = None
) -> PolicyScope:
    """`of_seller` are all policies of the seller, this one among them or not."""
    open_ones = [each for each in of_seller if not each.assigned_only and each.id != policy.id]
    later = any(each.category_id == policy.category_id and each.id > policy.id for each in open_ones)
    others = frozenset(each.category_id for each in open_ones if each.category_id is not None)
    return PolicyScope(
        policy.id,
        policy.seller_id,
        policy.assigned_only or later,
        policy.category_id,
        others if policy.category_id is None else frozenset(),
        within,
    )
