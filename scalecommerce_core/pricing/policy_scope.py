"""Policy scope: which products a policy covers. Each product follows at most one policy.

The policy that a product is assigned to takes precedence over one for its category, and that over one for all
products; of equal policies, the newest one. An inactive policy keeps its products: they do not pass to another one.
"""

from collections.abc import Collection

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.pricing.policy import PricingPolicy


@frozen
class PolicyScope:
    """The products of one policy. It covers active products of the seller that are not excluded and that are

    - assigned to the policy, or
    - unless `assigned_only`: assigned to no policy, and in `category_id` or, if that is None, in any category except
      `other_categories`.

    `within` restricts a run to one category.
    """

    policy_id: PolicyId
    seller_id: AccountId
    assigned_only: bool
    category_id: CategoryId | None = None
    other_categories: frozenset[CategoryId] = frozenset()
    within: CategoryId | None = None

    def covers(self, category_id: CategoryId, assigned: PolicyId | None) -> bool:
        """Whether the scope covers a product of this category that is assigned to the policy `assigned`, if any."""
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
    """Compute the scope of a policy. `of_seller` holds all policies of the seller, with or without this one."""
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
