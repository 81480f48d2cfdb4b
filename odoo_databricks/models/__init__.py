from . import res_company_bir
from . import res_partner_bir
from . import account_move
from . import account_move_line
from . import bir_rule_engine
from . import bir_predictor
from . import bir_prediction
